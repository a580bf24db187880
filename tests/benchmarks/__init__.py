"""What the library costs and what it holds, measured beside bare HTTP clients: `make bench`."""
