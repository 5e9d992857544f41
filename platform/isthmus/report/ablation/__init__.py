"""The report of an ablation: figures, tables, page, files, and how it is published."""
