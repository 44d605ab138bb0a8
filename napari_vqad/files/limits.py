"""All limits on the size of files and the search of folders.

They are looked up when a file is read (`limits.VOXELS`), so that tests can lower them.
"""

KIB, MIB, GIB = 2**10, 2**20, 2**30

VOXELS = 2 * GIB  # bytes of a scan, a mask or a clip as float32: 512 million voxels, a cube of 812
NIFTI_HEADER = 64 * MIB  # bytes of a NIfTI header with its extensions
BEYOND = 16 * MIB  # bytes unpacked beyond the size in the header, to reach gzip's checksum

WEIGHTS = 4 * GIB  # bytes of a network's parameters as float32
TENSORS = 20_000  # tensors of a safetensors file
TENSOR_HEADER = 8 * MIB  # bytes of its header
TABLES = 512 * MIB  # bytes of a template, of normative maps, of a linear model
STUDY = 2 * GIB  # bytes of a study's arrays
ZIP_LIST = MIB  # bytes of a zip's list of contents

JSON = 8 * MIB  # bytes of a JSON file
DEPTH = 64  # nesting depth of its lists and objects
RECIPE = 64 * KIB  # bytes of a recipe
DOTS = 200  # dots in one of its lines: a dotted key makes a table for each
TEXT = MIB  # bytes of a table or a card

SEARCH_FILES = 50_000  # files and folders visited in a search
SEARCH_DEPTH = 16  # levels of nested folders
SEARCH_SECONDS = 30.0  # spent on listing folders and reading the beginnings of files


def gib(n_bytes: int) -> str:
    """Write a number of bytes for the user: "6.0 GiB"."""
    for unit, size in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"
