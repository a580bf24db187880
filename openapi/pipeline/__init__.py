"""Make `generated/puzzel_chat_api` from the document in this folder's parent.

One step per module, in the order of `run.py`. `python -m pipeline --help` tells how to call it.
"""
