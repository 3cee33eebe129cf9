"""A bundle (named arrays, a JSON dict, named binary parts) to and from a folder, atomically.

    model/
      manifest.json                  kind, schema, the dict, every file's size and sha256
      arrays-<hash>.safetensors      the arrays
      <part>-<hash>.<suffix>         one file per binary part

No system call replaces a folder that is in use, so `manifest.json` is the only pointer: data files
carry their content's hash in the name, a new manifest takes the old one's place by one rename, and
the files it no longer names are removed afterwards. A reader finds the whole old bundle or the
whole new one, also when the writer was killed or the disk filled. A first save builds the folder
beside its place and renames it. This room knows no model.
"""

from latentpk.storage.files import replacing, write_file
from latentpk.storage.layout import Bundle
from latentpk.storage.reading import read_bundle, read_kind
from latentpk.storage.writing import remove_bundle, write_bundle

__all__ = [
    "Bundle",
    "read_bundle",
    "read_kind",
    "remove_bundle",
    "replacing",
    "write_bundle",
    "write_file",
]
