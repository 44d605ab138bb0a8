"""Files for others: report, contact sheet, tables, DICOM, saved study."""
