//! Signals: sent, held back, waited for, caught.

use halyard_rt::signal::{self, Action, SignalSet};
use halyard_rt::{nr, prelude::*, raw};

use crate::actor::{self, Actor, call};
use crate::op::{Args, Domain, Family, Told, op};
use Domain::{Actor as Whom, Of};

/// Signals to send: those that do nothing, stop, continue or are real-time ones more often than those that end.
const SENT: &[i64] = &[
    10, 10, 12, 12, 17, 18, 18, 19, 20, 23, 28, 34, 34, 35, 64, 15, 1, 9, 0, 65, -1,
];
/// Signals to set an action for.
const SET: &[i64] = &[
    10, 10, 12, 12, 17, 18, 20, 23, 34, 35, 64, 15, 1, 9, 19, 0, 65,
];
/// Masks.
const MASKS: &[i64] = &[
    0,
    1 << 9,
    1 << 11,
    1 << 9 | 1 << 11,
    1 << 33 | 1 << 34,
    1 << 8 | 1 << 18 | 1 << 9,
    1 << 17 | 1 << 19,
    -1,
];
/// What to do, and how: 0 default, 1 ignore, 2 handle.
const ACTIONS: &[i64] = &[0, 1, 2, 2, 2, 2];
const FLAGS: &[i64] = &[
    0,
    0,
    raw::general::SA_RESTART as i64,
    raw::general::SA_NODEFER as i64,
    raw::general::SA_RESETHAND as i64,
    raw::general::SA_NOCLDWAIT as i64,
];

/// Signals.
pub(crate) const FAMILY: Family = Family {
    name: "signal",
    ops: &[
        op(
            "sigaction",
            10,
            [Of(SET), Of(ACTIONS), Of(FLAGS), Of(MASKS)],
            set_action,
        ),
        op("sigprocmask", 8, [Of(&[0, 0, 1, 2, 3]), Of(MASKS)], mask),
        op("kill", 12, [Whom, Of(SENT)], kill),
        op("sigqueue", 8, [Whom, Of(SENT), Of(&[1, 2, 3, 4])], queue),
        op("tgkill", 3, [Whom, Of(SENT)], thread_kill),
        op("sigpending", 6, [], pending),
        op(
            "sigtimedwait",
            6,
            [Of(MASKS), Of(&[0, 0, -1, 1_000_000_000])],
            wait,
        ),
        op("sigsuspend", 2, [Of(MASKS)], suspend),
        op("pause", 2, [], pause),
    ],
};

fn set_action(_: &mut Actor, args: Args) -> Told {
    let action = match args[1] {
        0 => Action::Default,
        1 => Action::Ignore,
        _ => Action::CallInfo(actor::handler),
    };
    let set = signal::set(
        args[0] as i32,
        action,
        args[2] as u32,
        SignalSet(args[3] as u64),
    );
    let old = set.as_ref().map_or(0, |old| old.handler.min(2));
    let (flags, mask) = set.as_ref().map_or((0, 0), |old| (old.flags, old.mask.0));
    Told::from(set.map(|_| 0)).and(|| format!("{old} {flags:x} {mask:x}"))
}

fn mask(_: &mut Actor, args: Args) -> Told {
    let (mut new, mut old) = ([args[1] as u64], [0u64]);
    let (new, at) = (new.as_mut_ptr() as usize, old.as_mut_ptr() as usize);
    let result = call(nr::RT_SIGPROCMASK, [args[0] as usize, new, at, 8]);
    Told::from(result).and(|| format!("{:x}", core::hint::black_box(old)[0]))
}

/// Another actor's process. One that is gone may have been succeeded by nobody yet: numbers are not used again so soon.
fn pid(actor: &Actor, whom: i64) -> usize {
    actor.pids.get(whom as usize).copied().unwrap_or(0).max(2) as usize
}

fn kill(actor: &mut Actor, args: Args) -> Told {
    call(nr::KILL, [pid(actor, args[0]), args[1] as usize]).into()
}

fn thread_kill(actor: &mut Actor, args: Args) -> Told {
    let pid = pid(actor, args[0]);
    call(nr::TGKILL, [pid, pid, args[1] as usize]).into()
}

fn queue(actor: &mut Actor, args: Args) -> Told {
    // siginfo_t: number, errno, code SI_QUEUE; then sender and user; then the value.
    let own = process::id() as u64;
    let mut info = [0u64; 16];
    info[0] = args[1] as u32 as u64;
    info[1] = u64::from(-1i32 as u32);
    info[2] = own;
    info[3] = args[2] as u64;
    let at = info.as_mut_ptr() as usize;
    call(
        nr::RT_SIGQUEUEINFO,
        [pid(actor, args[0]), args[1] as usize, at],
    )
    .into()
}

fn pending(_: &mut Actor, _: Args) -> Told {
    let set = signal::pending();
    let bits = set.as_ref().map_or(0, |set| set.0);
    Told::from(set.map(|_| 0)).and(|| format!("{bits:x}"))
}

fn wait(actor: &mut Actor, args: Args) -> Told {
    // KILL and STOP cannot be waited for, and waiting for ever is for those who can be woken.
    let mut set = [args[0] as u64];
    let mut time = [0u64, args[1] as u64];
    let (set, time) = (set.as_mut_ptr() as usize, time.as_mut_ptr() as usize);
    let at = actor.room();
    let result = call(nr::RT_SIGTIMEDWAIT, [set, at, time, 8]);
    let (code, value) = (actor.number::<4>(8) as i32, actor.number::<4>(24));
    let value = if code == -1 { value } else { 0 };
    Told::from(result).and(|| format!("{code} {value}"))
}

fn suspend(_: &mut Actor, args: Args) -> Told {
    let mut set = [args[0] as u64];
    call(nr::RT_SIGSUSPEND, [set.as_mut_ptr() as usize, 8]).into()
}

fn pause(_: &mut Actor, _: Args) -> Told {
    call(nr::PPOLL, [0, 0, 0, 0, 8]).into()
}
