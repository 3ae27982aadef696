//! The Generic Interrupt Controller, version 3 (Arm IHI 0069H), by crate `arm-gic`.
//!
//! `arm-gic` owns the registers. Here stands what it leaves to its user: which redistributor is which CPU's, where each
//! shared line is routed, that no number from outside reaches an assertion, and that special INTIDs are no interrupts.

use arm_gic::gicv3::{GicCpuInterface, GicError, GicV3, Group, SgiTarget, SgiTargetGroup};
use arm_gic::{IntId, InterruptGroup};

use super::{Ack, CpuTarget, Error, Ipi, Line, Priority, Trigger};

/// The whole of a GICv3: `GicV3::new(distributor, redistributors, count)`, unsafe, is for whoever maps the registers.
/// `count` is as many redistributors as the second entry of `reg` has room for (128 KiB each); those past the last are
/// not touched.
pub type Redistributors = GicV3<'static>;

/// The highest affinity level 0 that an IPI reaches: the target list has 16 bits, and the range selector is not used
/// (IHI 0069H, ICC_SGI1R_EL1).
pub const MAX_AFFINITY_0: u64 = 15;

const FIRST_SHARED: u32 = 32;
const FIRST_SPECIAL: u32 = 1020;

/// The distributor and all redistributors.
#[derive(Debug)]
pub struct Distributor {
    gic: Redistributors,
}

fn affinity(mpidr: u64) -> u64 {
    mpidr & 0xff_00ff_ffff
}

impl CpuTarget {
    /// Affinity level 3 moves down to bits 31:24.
    fn from_affinity(affinity: u64) -> Self {
        CpuTarget((affinity >> 8) as u32 & 0xff00_0000 | affinity as u32 & 0xff_ffff)
    }

    fn to_affinity(self) -> u64 {
        u64::from(self.0 & 0xff00_0000) << 8 | u64::from(self.0 & 0xff_ffff)
    }
}

impl Distributor {
    pub(super) fn new(gic: Redistributors) -> Self {
        Distributor { gic }
    }

    pub(super) fn init(&mut self) {
        let distributor = self.gic.distributor();
        distributor.enable_all_interrupts(false);
        // Also sets affinity routing and group 1, in the view of both security states: bits 4 and 1 of GICD_CTLR.
        distributor.configure_default_settings();
        for line in FIRST_SHARED..self.lines() {
            if let Ok(intid) = IntId::try_from(line) {
                // The line is a shared one, so it cannot be refused.
                let _ = distributor_priority(&mut self.gic, intid, Priority::NORMAL);
            }
        }
    }

    fn lines(&self) -> u32 {
        (FIRST_SHARED + self.gic.typer().num_spis()).min(FIRST_SPECIAL)
    }

    /// Which redistributor belongs to the CPU with this affinity. The last one says that it is (GICR_TYPER.Last).
    fn redistributor(&mut self, affinity: u64) -> Result<usize, Error> {
        for index in 0.. {
            let Ok(typer) = self.gic.gicr_typer(index) else {
                break;
            };
            if typer.core_mpidr() == affinity {
                return Ok(index);
            }
            if typer.last_redistributor() {
                break;
            }
        }
        Err(Error::NoSuchCpu(affinity))
    }

    pub(super) fn init_cpu(&mut self, mpidr: u64) -> Result<CpuTarget, Error> {
        let affinity = affinity(mpidr);
        if affinity & 0xff > MAX_AFFINITY_0 {
            return Err(Error::NoSuchCpu(affinity));
        }
        let index = self.redistributor(affinity)?;
        self.gic.init_cpu(index);
        let bad = |_: GicError| Error::BadController;
        let mut redistributor = self.gic.redistributor(index).map_err(bad)?;
        redistributor.configure_default_settings();
        for intid in IntId::private() {
            let Priority(normal) = Priority::NORMAL;
            redistributor
                .set_interrupt_priority(intid, normal)
                .map_err(bad)?;
            redistributor
                .enable_interrupt(intid, intid.is_sgi())
                .map_err(bad)?;
        }
        GicCpuInterface::set_priority_mask(0xff);
        GicCpuInterface::enable_group1(true);
        Ok(CpuTarget::from_affinity(affinity))
    }

    fn intid(&self, line: Line) -> Result<IntId, Error> {
        let Line(number) = line;
        let known = number < self.lines();
        IntId::try_from(number)
            .ok()
            .filter(|_| known)
            .ok_or(Error::NoSuchLine(line))
    }

    pub(super) fn enable(
        &mut self,
        line: Line,
        trigger: Option<Trigger>,
        priority: Priority,
        target: CpuTarget,
    ) -> Result<(), Error> {
        let intid = self.intid(line)?;
        self.disable(line, target)?;
        let refused = |_: GicError| Error::NoSuchLine(line);
        let trigger = trigger.map(arm_gic::Trigger::from);
        let Priority(level) = priority;
        if intid.is_private() {
            let index = self.redistributor(target.to_affinity())?;
            let mut redistributor = self.gic.redistributor(index).map_err(refused)?;
            redistributor
                .set_interrupt_priority(intid, level)
                .map_err(refused)?;
            // An SGI's trigger cannot be changed (GICR_ICFGR0).
            if let Some(trigger) = trigger.filter(|_| !intid.is_sgi()) {
                redistributor.set_trigger(intid, trigger).map_err(refused)?;
            }
            redistributor.enable_interrupt(intid, true).map_err(refused)
        } else {
            let distributor = self.gic.distributor();
            distributor
                .set_group(intid, Group::Group1NS)
                .map_err(refused)?;
            distributor
                .set_interrupt_priority(intid, level)
                .map_err(refused)?;
            if let Some(trigger) = trigger {
                distributor.set_trigger(intid, trigger).map_err(refused)?;
            }
            let affinity = target.to_affinity();
            distributor
                .set_routing(intid, Some(affinity))
                .map_err(refused)?;
            distributor.enable_interrupt(intid, true).map_err(refused)
        }
    }

    pub(super) fn disable(&mut self, line: Line, target: CpuTarget) -> Result<(), Error> {
        let intid = self.intid(line)?;
        let refused = |_: GicError| Error::NoSuchLine(line);
        if intid.is_private() {
            let index = self.redistributor(target.to_affinity())?;
            let mut redistributor = self.gic.redistributor(index).map_err(refused)?;
            redistributor
                .enable_interrupt(intid, false)
                .map_err(refused)?;
            redistributor.wait_for_pending_write();
        } else {
            let distributor = self.gic.distributor();
            distributor
                .enable_interrupt(intid, false)
                .map_err(refused)?;
            self.gic.gicd_barrier();
        }
        Ok(())
    }
}

fn distributor_priority(
    gic: &mut Redistributors,
    intid: IntId,
    Priority(priority): Priority,
) -> Result<(), GicError> {
    gic.distributor().set_interrupt_priority(intid, priority)
}

impl From<Trigger> for arm_gic::Trigger {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Edge => arm_gic::Trigger::Edge,
            Trigger::Level => arm_gic::Trigger::Level,
        }
    }
}

/// What a CPU needs at an interrupt: the ICC system registers.
#[derive(Clone, Copy, Debug)]
pub struct CpuInterface;

impl CpuInterface {
    #[inline]
    pub(super) fn acknowledge(&self) -> Option<Ack> {
        let taken = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1)?;
        let number = taken.raw_value();
        (number < FIRST_SPECIAL).then_some(Ack(number))
    }

    #[inline]
    pub(super) fn end(&self, Ack(taken): Ack) {
        if let Ok(intid) = IntId::try_from(taken) {
            GicCpuInterface::end_interrupt(intid, InterruptGroup::Group1);
        }
    }

    #[inline]
    pub(super) fn send_ipi(&self, ipi: Ipi, target: CpuTarget) {
        let [affinity3, affinity2, affinity1, affinity0] = target.0.to_be_bytes();
        let target = SgiTarget::List {
            affinity3,
            affinity2,
            affinity1,
            target_list: 1 << (affinity0 & MAX_AFFINITY_0 as u8),
        };
        send(ipi, target);
    }

    #[inline]
    pub(super) fn send_ipi_to_others(&self, ipi: Ipi) {
        send(ipi, SgiTarget::All);
    }
}

#[inline]
fn send(Ipi(ipi): Ipi, target: SgiTarget) {
    // An `Ipi` is below 8, so it is an SGI and is not refused.
    let _ = GicCpuInterface::send_sgi(
        IntId::sgi(u32::from(ipi)),
        target,
        SgiTargetGroup::CurrentGroup1,
    );
}

#[cfg(test)]
mod tests {
    use arm_sysregs::el1::fake::SYSREGS;
    use arm_sysregs::el1::registers::{IccEoir1El1, IccIar1El1};

    use super::*;

    #[test]
    fn target_keeps_all_four_affinity_levels() {
        for affinity in [0, 3, 0x203, 0x80_0000, 0xff_0000_0000, 0xab_00cd_ef05] {
            assert_eq!(CpuTarget::from_affinity(affinity).to_affinity(), affinity);
        }
    }

    #[test]
    fn affinity_leaves_the_other_bits_of_mpidr_out() {
        assert_eq!(affinity(0xffff_ffab_c1cd_ef05), 0xab_00cd_ef05);
    }

    /// One test, for the fake registers are one set.
    #[test]
    fn interface_uses_the_group_1_registers() {
        let taken = |number| {
            SYSREGS.lock().unwrap().icc_iar1_el1 = IccIar1El1::from_bits_retain(number);
            CpuInterface.acknowledge()
        };
        for special in [1020, 1021, 1022, 1023] {
            assert_eq!(taken(special), None);
        }
        let ack = taken(27).unwrap();
        assert_eq!(ack.line(), Line(27));
        CpuInterface.end(ack);
        let ended = SYSREGS.lock().unwrap().icc_eoir1_el1;
        assert_eq!(ended, IccEoir1El1::from_bits_retain(27));

        let sent = || SYSREGS.lock().unwrap().icc_sgi1r_el1.bits();
        let ipi = Ipi::new(3).unwrap();
        CpuInterface.send_ipi(ipi, CpuTarget::from_affinity(0xab_00cd_ef05));
        assert_eq!(sent(), 0x00ab_00cd_03ef_0020);
        CpuInterface.send_ipi_to_others(ipi);
        assert_eq!(sent(), 1 << 40 | 3 << 24);
        CpuInterface.send_ipi(ipi, CpuTarget::from_bits(u32::MAX));
    }
}
