//! The drivers as devices of their kind ([`halyard_device`]), where their own methods do not say it already.

use core::time::Duration;

use halyard_device::{RandomSource, Watchdog};

use crate::bcm2835_pm::Bcm2835Pm;
use crate::bcm2835_rng::Bcm2835Rng;
use crate::iproc_rng200::IprocRng200;
use crate::mmio::Window;
use crate::sunxi_wdt::SunxiWdt;

impl<W: Window + Send> RandomSource for Bcm2835Rng<W> {
    fn try_word(&mut self) -> Option<u32> {
        self.try_word()
    }
}

impl<W: Window + Send> RandomSource for IprocRng200<W> {
    fn try_word(&mut self) -> Option<u32> {
        self.try_word()
    }
}

impl<W: Window + Send> Watchdog for Bcm2835Pm<W> {
    fn longest(&self) -> Duration {
        crate::bcm2835_pm::LONGEST
    }

    fn start(&mut self, time: Duration) {
        self.start(time);
    }

    fn stop(&mut self) {
        self.stop();
    }

    fn reset(&mut self) {
        self.reset();
    }

    fn power_off(&mut self) -> bool {
        self.power_off();
        true
    }
}

impl<W: Window + Send> Watchdog for SunxiWdt<W> {
    fn longest(&self) -> Duration {
        crate::sunxi_wdt::LONGEST
    }

    fn start(&mut self, time: Duration) {
        self.start(time);
    }

    fn stop(&mut self) {
        self.stop();
    }

    fn reset(&mut self) {
        self.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::TooSmall;

    /// A window that forgets.
    struct Nothing;

    impl Window for Nothing {
        fn size(&self) -> usize {
            0x1000
        }
        fn read8(&self, _: usize) -> u8 {
            0
        }
        fn write8(&self, _: usize, _: u8) {}
        fn read32(&self, _: usize) -> u32 {
            0
        }
        fn write32(&self, _: usize, _: u32) {}
    }

    #[test]
    fn watchdog_says_whether_it_can_switch_off() -> Result<(), TooSmall> {
        let watchdogs: [&mut dyn Watchdog; 2] =
            [&mut Bcm2835Pm::new(Nothing)?, &mut SunxiWdt::new(Nothing)?];
        assert_eq!(
            watchdogs.map(|watchdog| watchdog.power_off()),
            [true, false]
        );
        Ok(())
    }

    #[test]
    fn random_source_that_never_has_a_word_is_asked_once() -> Result<(), TooSmall> {
        let sources: [&mut dyn RandomSource; 2] = [
            &mut Bcm2835Rng::new(Nothing)?,
            &mut IprocRng200::new(Nothing)?,
        ];
        assert_eq!(sources.map(|source| source.try_word()), [None, None]);
        Ok(())
    }
}
