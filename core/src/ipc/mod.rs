//! Inter-process communication: one file a mechanism.
