//! Judged programs: random operations one after the other, each told to a plain model, which says what it must give. Processes
//! take their turns by fork and wait, so that the order is the program's.

use std::fmt::Debug;
use std::format;
use std::string::String;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::{Script, run_on};
use crate::host::{Config, HostCpu, Program};
use crate::machine::Trap;

/// A system call with its arguments.
pub(crate) type Asked = (usize, [u64; 6]);

/// What an object is, in a few lines.
pub(crate) trait Model: Send + 'static {
    /// One of the operations.
    type Op: Copy + Debug + Send + Sync + 'static;

    /// The call that `op` is now; None: it is none, and [`Model::judge`] does it. It may be asked twice, if it stores what the
    /// arguments point to and that faults.
    fn ask(&self, op: Self::Op, cpu: &mut HostCpu<'_>) -> Result<Option<Asked>, Trap>;

    /// Does `op` to the model and says what is wrong with its result. What it looks up in memory comes first: that may fault, and
    /// then it is asked again.
    fn judge(
        &mut self,
        op: Self::Op,
        result: i64,
        cpu: &HostCpu<'_>,
    ) -> Result<Result<(), String>, Trap>;
}

/// A model at work.
pub(crate) struct Judged<M> {
    pub(crate) model: Arc<Mutex<M>>,
    seed: u64,
    history: Arc<Mutex<Vec<String>>>,
}

impl<M: Model> Judged<M> {
    /// Writes `op` into the program.
    pub(crate) fn perform(&self, program: &mut Program, op: M::Op) {
        let model = Arc::clone(&self.model);
        program.step(move |cpu| {
            let asked = model.lock().unwrap().ask(op, cpu)?;
            match asked {
                Some((number, arguments)) => cpu.syscall(number, &arguments),
                None => Ok(()),
            }
        });
        let (model, history, seed) = (
            Arc::clone(&self.model),
            Arc::clone(&self.history),
            self.seed,
        );
        program.step(move |cpu| {
            let result = cpu.regs().x[0].cast_signed();
            let judgement = model.lock().unwrap().judge(op, result, cpu)?;
            let mut history = history.lock().unwrap();
            history.push(format!("{op:?} = {result}"));
            if let Err(why) = judgement {
                let before = history.join("\n");
                drop(history);
                panic!("seed {seed}: {why}, after\n{before}");
            }
            Ok(())
        });
    }
}

/// Runs the program that `write` makes of a model and a seed. Words at the start of the data can be stored to without a fault.
pub(crate) fn run_judged<M: Model>(
    seed: u64,
    model: M,
    write: impl FnOnce(&mut Program, &Judged<M>),
) {
    let judged = Judged {
        model: Arc::new(Mutex::new(model)),
        seed,
        history: Arc::default(),
    };
    let config = Config {
        seed,
        ..Config::default()
    };
    let code = run_on(config, |program| {
        program.store(super::DATA, &[0; 64]);
        write(program, &judged);
    });
    assert_eq!(code, 0, "seed {seed}");
}
