"""Output files: report, contact sheet, tables, DICOM, saved study."""
