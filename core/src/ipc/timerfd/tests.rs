//! The timer on an emulated machine's clock, against a model that counts each tick.

use std::vec::Vec;

use core::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::bench;
use crate::host::{Config, HostMachine};
use crate::ipc::pipe::testing::try_read;
use crate::wait::Watcher;

fn kernel() -> (&'static HostMachine, &'static Kernel) {
    let (machine, memory) = HostMachine::new(Config::default());
    let kernel = bench::kernel::kernel(machine, memory, 1_000_000);
    machine.advance(1000);
    (machine, kernel)
}

/// Counts the wakes of the timer's queue.
#[derive(Default)]
struct Rings(AtomicUsize);

impl Watcher for Rings {
    fn changed(self: Arc<Self>) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst);
        true
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set {
        value: u64,
        interval: u64,
        absolute: bool,
        cancel: bool,
    },
    Advance(u64),
    Read,
    MoveClock(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let interval = prop_oneof![Just(0), 5..60_u64];
    let set = (0..200_u64, interval, any::<bool>(), any::<bool>()).prop_map(
        |(value, interval, absolute, cancel)| Step::Set {
            value,
            interval,
            absolute,
            cancel,
        },
    );
    prop_oneof![
        3 => set,
        6 => (1..150_u64).prop_map(Step::Advance),
        4 => Just(Step::Read),
        1 => (-100..200_i64).prop_map(Step::MoveClock),
    ]
}

#[derive(Default)]
struct Model {
    /// By the wall clock if `real`, else since boot.
    due: Option<u64>,
    interval: u64,
    real: bool,
    cancel: bool,
    cancelled: bool,
    /// Ticks that the alarm told of.
    rung: u64,
}

impl Model {
    fn ticks(&self, now: u64) -> (u64, Option<u64>) {
        let (mut due, mut ticks) = (self.due, 0);
        while let Some(at) = due.filter(|at| *at <= now) {
            ticks += 1;
            due = (self.interval > 0).then_some(at + self.interval);
        }
        (ticks, due)
    }

    fn is_ready(&self, now: u64) -> bool {
        self.cancelled || self.rung > 0 || self.ticks(now).0 > 0
    }
}

/// The clock that `model` runs by.
fn now(kernel: &Kernel, model: &Model) -> u64 {
    if model.real {
        kernel.wall_clock()
    } else {
        kernel.machine.now().0
    }
}

fn compare(
    (machine, kernel): (&HostMachine, &'static Kernel),
    clock: TimerClock,
    steps: Vec<Step>,
) -> core::result::Result<(), TestCaseError> {
    let timer = TimerFd::new(kernel, clock).unwrap();
    let rings = Arc::new(Rings::default());
    let queue = timer.wait_queue(Side::Read).unwrap();
    let place = queue.watch(rings.clone(), false).unwrap();
    let mut model = Model::default();
    for step in steps {
        let was_ready = model.is_ready(now(kernel, &model));
        rings.0.store(0, Ordering::SeqCst);
        match step {
            Step::Set {
                value,
                interval,
                absolute,
                cancel,
            } => {
                let real = absolute && clock == TimerClock::Real;
                model = Model {
                    due: None,
                    interval,
                    real,
                    cancel: cancel && real,
                    cancelled: false,
                    rung: 0,
                };
                let base = now(kernel, &model);
                // An absolute time around now: some lie in the past.
                let given = if absolute && value > 0 {
                    base - 50 + value
                } else {
                    value
                };
                let due = if absolute { given } else { base + value };
                model.due = (value > 0).then_some(due);
                let to = TimerSetting {
                    value: given,
                    interval,
                };
                let mode = TimerMode {
                    absolute,
                    cancel_on_set: cancel,
                };
                timer.set(to, mode);
            }
            Step::Advance(ns) => machine.advance(ns),
            Step::Read => {
                let (ticks, due) = model.ticks(now(kernel, &model));
                let expected = if model.cancelled {
                    Err(Errno::ECANCELED)
                } else if model.rung + ticks > 0 {
                    model.due = due;
                    Ok((model.rung + ticks).to_le_bytes().to_vec())
                } else {
                    Err(Errno::EAGAIN)
                };
                (model.cancelled, model.rung) = (false, 0);
                prop_assert_eq!(try_read(&timer, UNIT), expected);
            }
            Step::MoveClock(by) => {
                let real = kernel.wall_clock().saturating_add_signed(by);
                model.cancelled |= model.cancel && model.due.is_some();
                kernel.clock.set_real(kernel.machine.now(), real);
            }
        }
        kernel.this_cpu().alarms.expire(kernel.machine.now());
        let now = now(kernel, &model);
        if model.rung == 0 {
            (model.rung, model.due) = model.ticks(now);
        }
        let ready = model.is_ready(now);
        prop_assert_eq!(timer.poll().contains(Readiness::IN), ready);
        let left = model.ticks(now).1.map_or(0, |due| due - now);
        let seen = timer.get();
        prop_assert_eq!((seen.value, seen.interval), (left, model.interval));
        let rang = rings.0.load(Ordering::SeqCst) > 0;
        prop_assert!(
            rang || was_ready || !ready,
            "it became ready and told nobody"
        );
    }
    queue.unwatch(place);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each case is a machine and many timers on it.
    #[test]
    fn timerfd_agrees_with_the_model(
        all in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(step(), 1..60)),
            100,
        ),
    ) {
        let bench = kernel();
        for (real, steps) in all {
            let clock = if real { TimerClock::Real } else { TimerClock::Monotonic };
            compare(bench, clock, steps)?;
        }
        prop_assert!(bench.1.this_cpu().alarms.next() == crate::time::Instant::NEVER);
    }
}

#[test]
fn timerfd_closed_takes_its_alarm_along() {
    let (_, kernel) = kernel();
    let timer = TimerFd::new(kernel, TimerClock::Monotonic).unwrap();
    let setting = TimerSetting {
        value: 1000,
        interval: 1000,
    };
    timer.set(setting, TimerMode::default());
    assert_ne!(kernel.this_cpu().alarms.next(), crate::time::Instant::NEVER);
    drop(timer);
    assert_eq!(kernel.this_cpu().alarms.next(), crate::time::Instant::NEVER);
}
