"""`python -m napari_vqad.evaluate.fuzz`."""

from napari_vqad.evaluate.fuzz.run import main

if __name__ == "__main__":
    raise SystemExit(main())
