//! Signals as programs meet them: emulated programs on an emulated machine, through the kernel's own loop. The numbers in
//! comments are those of the rules in docs/ipc.md, "Signals".

mod bench;
mod delivery;
mod faults;
mod jobs;
mod restarts;
mod storm;
mod waiting;
