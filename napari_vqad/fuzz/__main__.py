"""Run the fuzzer with `python -m napari_vqad.fuzz`."""

from napari_vqad.fuzz.run import main

if __name__ == "__main__":
    raise SystemExit(main())
