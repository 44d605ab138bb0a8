"""`python -m napari_vqad`."""

from napari_vqad.cli import main

raise SystemExit(main())
