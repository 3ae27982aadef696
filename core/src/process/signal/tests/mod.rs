//! Signals as programs meet them: emulated programs on an emulated machine, through the kernel's own loop. Rules that
//! comments cite by number are those of the test plan for signals.

mod delivery;
mod faults;
mod jobs;
mod restarts;
mod storm;
mod waiting;
