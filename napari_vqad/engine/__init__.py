"""The explorer: schedules and stores computations, and makes maps. It is independent of any particular detector."""
