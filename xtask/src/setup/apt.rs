//! Gets Debian packages: decides what to run, asks, and runs it as root.
//!
//! Nothing is run before consent. Handled on the way: package lists that are not there yet, another apt or dpkg at work,
//! a user who is not root.

use std::path::Path;

use anyhow::{Context, Result, bail};
use semver::Version;

use super::needs::{Need, OLDEST_MESON, oldest_qemu};
use super::root::Root;
use super::{Consent, sources};
use crate::process;
use crate::ui::Ui;
use crate::workspace::Workspace;

/// The QEMU that plays every board there will be; an older one plays fewer.
const GOOD_QEMU: Version = Version::new(9, 0, 0);

/// Gets packages for `needs`. Errors: no apt, not root and no sudo, no consent possible, no such packages.
pub(crate) fn install(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    needs: &[Need],
) -> Result<()> {
    if process::on_path("apt-get").is_none() {
        bail!(
            "this is not a Debian machine, so these must be installed by hand: {}",
            wishes(needs)
        );
    }
    let root = Root::find(&wishes(needs))?;
    let backports = backports_to_add(needs);
    if !consent.obtain(ui, &plan(&root, backports.as_deref(), needs))? {
        bail!("not installed, as you wish; `cargo xtask doctor` says what is missing");
    }
    if let Some(stanza) = &backports {
        root.write(ui, Path::new(sources::OWN_FILE), stanza)?;
    }
    if backports.is_some() || needs.iter().any(|need| choose(*need).is_none()) {
        update(ui, &root, backports.is_some())?;
    }
    for packages in installations(workspace, needs)? {
        let step = ui.step(format!("installing {}", packages.join(" ")));
        let mut words = vec![
            "install",
            "--yes",
            "--no-install-recommends",
            "-o",
            "DPkg::Lock::Timeout=180",
        ];
        words.extend(packages.iter().map(String::as_str));
        root.apt(ui, &words, |line| step.progress(line))
            .context("the packages could not be installed")?;
        step.done();
    }
    Ok(())
}

/// What would be run, for a person to agree to.
fn plan(root: &Root, backports: Option<&str>, needs: &[Need]) -> Vec<String> {
    let sudo = root.prefix();
    let mut commands = Vec::new();
    if let Some(stanza) = backports {
        commands.push(format!("{sudo}write {}:", sources::OWN_FILE));
        commands.extend(stanza.lines().map(|line| format!("    {line}")));
    }
    commands.push(format!(
        "{sudo}apt-get update   (if the package lists are missing or old)"
    ));
    commands.push(format!(
        "{sudo}apt-get install --no-install-recommends {}",
        wishes(needs)
    ));
    commands
}

/// How a need would be met, in words.
pub(crate) fn mend(need: Need) -> String {
    if process::on_path("apt-get").is_none() {
        return format!(
            "this machine's package manager; Debian calls it {}",
            wishes(&[need])
        );
    }
    let source = if backports_to_add(&[need]).is_some() {
        " (adding a source of backports)"
    } else {
        ""
    };
    format!("apt-get install {}{source}", wishes(&[need]))
}

/// The words for a person: one alternative of each need.
pub(crate) fn wishes(needs: &[Need]) -> String {
    let lists = needs.iter().map(|need| {
        choose(*need)
            .or(need.packages().first().copied())
            .unwrap_or_default()
    });
    lists.flatten().copied().collect::<Vec<_>>().join(" ")
}

/// The first alternative whose packages can all be had.
fn choose(need: Need) -> Option<&'static [&'static str]> {
    let new_enough = |package: &&str| {
        candidate(package).is_some_and(|version| {
            need != Need::Core || upstream(&version) >= Version::new(1, 85, 0)
        })
    };
    need.packages()
        .iter()
        .find(|list| list.iter().all(&new_enough))
        .copied()
}

/// The words of each `apt-get install` to run: one for QEMU out of backports where those have it, as its libraries must
/// come from there too, and one for all the rest.
fn installations(workspace: &Workspace, needs: &[Need]) -> Result<Vec<Vec<String>>> {
    let mut rest = Vec::new();
    let mut all = Vec::new();
    for &need in needs {
        let Some(packages) = choose(need) else {
            if need.optional() {
                continue;
            }
            bail!(
                "no source of this machine's apt has packages for {need}: {}",
                wishes(&[need])
            );
        };
        let packages = packages.iter().map(|&package| package.to_owned());
        let backports = codename().map(|name| format!("{name}-backports"));
        let newer = newer_in_backports(need);
        match backports.filter(|suite| newer.is_some_and(|(package, _)| has(suite, package))) {
            Some(suite) => all.push(
                ["-t".to_owned(), suite]
                    .into_iter()
                    .chain(packages)
                    .collect(),
            ),
            None => rest.extend(packages),
        }
        if need == Need::Qemu && !all.iter().flatten().any(|word| word == "qemu-system-arm") {
            let version = candidate("qemu-system-arm")
                .map_or(Version::new(0, 0, 0), |version| upstream(&version));
            let oldest = oldest_qemu(workspace);
            if version < oldest {
                bail!("apt has QEMU {version}, {oldest} or later is needed");
            }
        }
    }
    if !rest.is_empty() {
        all.push(rest);
    }
    Ok(all)
}

/// What is taken from backports where they have it, by one of its packages, and the version that will do.
fn newer_in_backports(need: Need) -> Option<(&'static str, Version)> {
    match need {
        Need::Qemu => Some(("qemu-system-arm", GOOD_QEMU)),
        Need::QemuTools => Some(("meson", OLDEST_MESON)),
        _ => None,
    }
}

/// The source of backports to add, when something is wanted of which apt offers only an old version.
fn backports_to_add(needs: &[Need]) -> Option<String> {
    let codename = codename()?;
    let known = sources::read(Path::new("/etc/apt"));
    let old = |(package, good): (&str, Version)| {
        candidate(package).is_none_or(|version| upstream(&version) < good)
    };
    let wanted = codename == "bookworm"
        && !sources::offers(&known, &format!("{codename}-backports"))
        && needs
            .iter()
            .filter_map(|&need| newer_in_backports(need))
            .any(old);
    if !wanted {
        return None;
    }
    sources::backports(&known, &codename).map(|source| sources::to_deb822(&source))
}

/// Fetches the package lists. If our own source was added just now and the mirror has no such suite, takes it away again:
/// the release's own QEMU has to do then. One source of many that cannot be reached is apt's warning, not our failure.
fn update(ui: &Ui, root: &Root, added: bool) -> Result<()> {
    let step = ui.step("fetching package lists");
    let fetched = root.apt(ui, &["update", "-o", "Acquire::Retries=3"], |line| {
        step.progress(line)
    });
    let offered =
        codename().is_some_and(|name| has(&format!("{name}-backports"), "qemu-system-arm"));
    if added && !offered {
        ui.warn("the mirror has no backports; going on with the release's own QEMU");
        root.remove(ui, Path::new(sources::OWN_FILE))?;
        root.apt(ui, &["update", "-o", "Acquire::Retries=3"], |line| {
            step.progress(line)
        })?;
    } else {
        fetched.context("the package lists could not be fetched; is there a way to the mirror?")?;
    }
    step.done();
    Ok(())
}

/// The release's name, from os-release(5).
pub(crate) fn codename() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(line.trim_matches('"').to_owned())
}

/// The version of a package that apt would install.
pub(crate) fn candidate(package: &str) -> Option<String> {
    let text = process::ask(Path::new("apt-cache"), &["policy", package])?;
    candidate_in(&text)
}

/// The `Candidate:` of what `apt-cache policy` prints.
fn candidate_in(text: &str) -> Option<String> {
    let version = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))?
        .trim();
    (version != "(none)").then(|| version.to_owned())
}

/// Whether a suite has a package, by the lists that are here.
fn has(suite: &str, package: &str) -> bool {
    let text = process::ask(Path::new("apt-cache"), &["madison", package]).unwrap_or_default();
    text.lines()
        .any(|line| line.contains(&format!(" {suite}/")))
}

/// The upstream part of a Debian version, as far as it is numbers: `1:7.2+dfsg-7` is 7.2.0. Source: deb-version(7).
fn upstream(version: &str) -> Version {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let numbers = version
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()
        .unwrap_or_default();
    let mut numbers = numbers.split('.').map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Version::new(next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_drops_epoch_and_debian_part() {
        assert_eq!(
            upstream("1:10.0.2+ds-2+deb13u1~bpo12+1"),
            Version::new(10, 0, 2)
        );
        assert_eq!(upstream("1:7.2+dfsg-7+deb12u15"), Version::new(7, 2, 0));
        assert_eq!(upstream("1.96.0+dfsg1-1~deb12u2"), Version::new(1, 96, 0));
        assert_eq!(upstream("2:9-1"), Version::new(9, 0, 0));
    }

    #[test]
    fn upstream_of_nonsense_is_zero() {
        assert_eq!(upstream(""), Version::new(0, 0, 0));
        assert_eq!(upstream("99999999999999999999999"), Version::new(0, 0, 0));
    }

    #[test]
    fn candidate_none_is_no_candidate() {
        assert_eq!(
            candidate_in("x:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(
            candidate_in("x:\n  Installed: (none)\n  Candidate: 1:7.2-1\n").as_deref(),
            Some("1:7.2-1")
        );
    }
}
