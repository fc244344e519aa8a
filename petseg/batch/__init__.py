"""Millions of photos: from a folder or an object store, into masks and a Parquet index, resumable.

`run.run` does the whole work, with or without Ray. The index needs pyarrow, the engine "ray" Ray: both are
the extra [ray], and neither is imported before it is used.
"""
