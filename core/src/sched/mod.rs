//! Scheduling: run queues, time slices, alarms.
