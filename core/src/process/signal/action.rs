//! What a process does on each signal: the table behind sigaction(2). Owns the dispositions; the lock around them is
//! [`super::ProcessSignals`]'s.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::number::{DefaultAction, Signal, SignalSet};

bitflags! {
    /// SA_* of sigaction(2) (asm/signal.h).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ActionFlags: u64 {
        /// No SIGCHLD when children stop or go on.
        const NOCLDSTOP = 0x1;
        /// Children leave no zombies.
        const NOCLDWAIT = 0x2;
        /// The handler takes three arguments.
        const SIGINFO = 0x4;
        /// Kept and without effect: addresses are never tagged here.
        const EXPOSE_TAGBITS = 0x800;
        /// `sa_restorer` is where the handler returns to.
        const RESTORER = 0x0400_0000;
        /// On the alternate stack, if there is one.
        const ONSTACK = 0x0800_0000;
        /// Interrupted calls are made again.
        const RESTART = 0x1000_0000;
        /// The signal is not blocked while its handler runs.
        const NODEFER = 0x4000_0000;
        /// Back to the default when the handler is entered.
        const RESETHAND = 0x8000_0000;
    }
}

/// `SIG_DFL` and `SIG_IGN`.
const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;

/// `struct sigaction` as the system call takes it.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Action {
    /// SIG_DFL, SIG_IGN or the handler's address.
    pub handler: u64,
    flags: u64,
    /// Where the handler returns to if the flags say so.
    pub restorer: u64,
    mask: u64,
}

/// What is to be done with a signal that is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nothing.
    Ignore,
    /// The process stops.
    Stop,
    /// The process ends; the flag says that Linux would write a core file.
    End(bool),
    /// The handler runs.
    Handle(Action),
}

impl Action {
    /// As a program gave it: flags that mean nothing here are dropped (sigaction(2), "Dynamically probing for flag bit
    /// support"), and the mask never holds what cannot be blocked.
    #[must_use]
    pub fn sanitised(self) -> Action {
        let flags = ActionFlags::from_bits_truncate(self.flags).bits();
        Action {
            flags,
            mask: SignalSet(self.mask).minus(SignalSet::UNBLOCKABLE).0,
            ..self
        }
    }

    /// SA_* of it.
    #[inline]
    #[must_use]
    pub const fn flags(&self) -> ActionFlags {
        ActionFlags::from_bits_truncate(self.flags)
    }

    /// What is blocked while its handler for `signal` runs, beside what was blocked before.
    #[inline]
    #[must_use]
    pub const fn blocks(&self, signal: Signal) -> SignalSet {
        let mask = SignalSet(self.mask);
        if self.flags().contains(ActionFlags::NODEFER) {
            mask
        } else {
            mask.union(signal.set())
        }
    }

    /// It with SIG_DFL for a handler (SA_RESETHAND).
    #[must_use]
    pub const fn without_handler(self) -> Action {
        Action {
            handler: DEFAULT,
            ..self
        }
    }

    /// Whether it is SIG_IGN.
    #[inline]
    #[must_use]
    pub const fn is_ignore(&self) -> bool {
        self.handler == IGNORE
    }

    /// Whether it is SIG_DFL.
    #[inline]
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.handler == DEFAULT
    }

    /// Whether delivering `signal` under it does nothing. That holds for SIGCONT by default too: what it does, it does when
    /// it is sent.
    #[must_use]
    pub const fn ignores(&self, signal: Signal) -> bool {
        let by_default = matches!(
            signal.default_action(),
            DefaultAction::Ignore | DefaultAction::Continue
        );
        self.is_ignore() || (self.is_default() && by_default)
    }

    /// What is to be done with `signal` under it.
    #[must_use]
    pub const fn response(self, signal: Signal) -> Response {
        match self.handler {
            IGNORE => Response::Ignore,
            DEFAULT => match signal.default_action() {
                DefaultAction::Ignore | DefaultAction::Continue => Response::Ignore,
                DefaultAction::Stop => Response::Stop,
                DefaultAction::Terminate => Response::End(false),
                DefaultAction::Core => Response::End(true),
            },
            _ => Response::Handle(self),
        }
    }
}

/// The actions for all signals. 2 KiB.
#[derive(Clone, Debug)]
pub struct ActionTable {
    actions: [Action; super::number::LAST as usize],
}

impl Default for ActionTable {
    fn default() -> Self {
        ActionTable {
            actions: [Action::default(); _],
        }
    }
}

impl ActionTable {
    /// The action for `signal`.
    #[inline]
    #[must_use]
    pub fn get(&self, signal: Signal) -> Action {
        self.actions[signal.index()]
    }

    /// Sets the action for `signal`.
    #[inline]
    pub fn set(&mut self, signal: Signal, action: Action) {
        self.actions[signal.index()] = action;
    }

    /// As execve(2) leaves it: handlers become the default, what is ignored stays so.
    pub fn reset_handlers(&mut self) {
        for action in &mut self.actions {
            *action = Action {
                handler: if action.is_ignore() { IGNORE } else { DEFAULT },
                ..Action::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sanitised_drops_unknown_flags_and_kill_and_stop() {
        let action = Action {
            handler: 0x1000,
            flags: 0x400 | 0x4,
            restorer: 0,
            mask: u64::MAX,
        }
        .sanitised();
        assert_eq!(action.flags(), ActionFlags::SIGINFO);
        assert_eq!(action.flags, 4);
        assert_eq!(
            SignalSet(action.mask).intersection(SignalSet::UNBLOCKABLE),
            SignalSet::EMPTY
        );
    }

    #[test]
    fn exec_resets_handlers_and_keeps_ignores() {
        let mut table = ActionTable::default();
        table.set(
            Signal::USR1,
            Action {
                handler: 0x1000,
                mask: 5,
                ..Action::default()
            },
        );
        table.set(
            Signal::USR2,
            Action {
                handler: IGNORE,
                flags: 4,
                ..Action::default()
            },
        );
        table.reset_handlers();
        assert_eq!(table.get(Signal::USR1), Action::default());
        assert_eq!(
            table.get(Signal::USR2),
            Action {
                handler: IGNORE,
                ..Action::default()
            }
        );
    }

    #[test]
    fn handler_blocks_its_own_signal_unless_nodefer() {
        let action = Action {
            handler: 0x1000,
            mask: 1,
            ..Action::default()
        };
        assert_eq!(
            action.blocks(Signal::USR1),
            SignalSet(1).union(Signal::USR1.set())
        );
        let nodefer = Action {
            flags: ActionFlags::NODEFER.bits(),
            ..action
        };
        assert_eq!(nodefer.blocks(Signal::USR1), SignalSet(1));
    }

    #[test]
    fn ignored_by_default_are_child_urgent_window_and_continue() {
        let ignored: std::vec::Vec<i32> = (1..=64)
            .filter(|n| Action::default().ignores(Signal::from_number(*n).unwrap()))
            .collect();
        assert_eq!(ignored, [17, 18, 23, 28]);
    }
}
