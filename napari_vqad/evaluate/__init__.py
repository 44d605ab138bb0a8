"""How well it finds: metrics, simulated anomalies, tables, pictures."""
