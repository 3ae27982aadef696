//! Processes and threads: fork, exec, wait, exit, signals.
