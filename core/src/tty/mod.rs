//! Terminals: the line discipline and job control.
