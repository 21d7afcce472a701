"""The keys of what lies on the disk.

    wrapping.py       secrets wrapped by keys, bound to the place that they belong to
    vault.py          the folder: the store's key, wrapped by the master key, and all below it
    entry_keys.py     a secret for every entry, in one file
    segment_secrets.py  a secret for every segment of the index, in a file each
    durable.py        files that are there, or gone, after a power cut
    command.py        `imageward-server keys`

The master key wraps the *store's key*. An entry's key is made from the store's key and the
entry's own secret, so that an entry is erased everywhere, in backups too, when its secret is
overwritten, and a new master key means to wrap one key anew. The folder is never part of a
backup of the store: whoever has an old copy of it can read what was erased since.
"""
