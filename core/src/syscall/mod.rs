//! System calls: the table, and one file a family that decodes arguments and calls the rest.
