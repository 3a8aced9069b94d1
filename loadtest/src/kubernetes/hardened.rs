//! What a process may do, as the kernel says: `/proc/1/status` and `/proc/1/mounts` of a container. Pure.

/// What is read in each container.
pub(super) const READ: [&str; 3] = ["cat", "/proc/1/status", "/proc/1/mounts"];

/// What is wrong with a container's first process: it must be nobody's root, on a root file system that is read only,
/// without capabilities, and with no way to get any.
pub(super) fn mistakes<'a>(text: &'a str) -> Vec<String> {
    let mut mistakes = Vec::new();
    let field = |name: &str| -> &'a str {
        let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
        text.lines().find_map(value).map_or("", str::trim)
    };
    let ids: Vec<_> = field("Uid").split_whitespace().collect();
    if ids.is_empty() || ids.contains(&"0") {
        mistakes.push(format!("runs as user {ids:?}"));
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let bits = field(set);
        if bits.is_empty() || bits.contains(|digit| digit != '0') {
            mistakes.push(format!("has capabilities: {set} {bits:?}"));
        }
    }
    for (name, wanted) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let value = field(name);
        if value != wanted {
            mistakes.push(format!("{name} is {value:?}, not {wanted}"));
        }
    }
    let root = text.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        (words.next() == Some("/")).then(|| words.nth(1).unwrap_or_default())
    });
    if !root.is_some_and(|options| options.split(',').any(|option| option == "ro")) {
        mistakes.push(format!("its root file system is mounted {root:?}"));
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Name:\twas\nUid:\t10001\t10001\t10001\t10001\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n\
        overlay / overlay ro,relatime,lowerdir=/a 0 0\nproc /proc proc rw,nosuid 0 0\n";

    #[test]
    fn each_thing_alone_is_a_mistake() {
        assert_eq!(mistakes(GOOD), [] as [String; 0]);
        for (good, bad) in [
            ("Uid:\t10001\t10001", "Uid:\t10001\t0"),
            ("CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("overlay ro,", "overlay rw,"),
            ("overlay / overlay", "overlay /mnt overlay"),
        ] {
            let spoilt = GOOD.replace(good, bad);
            assert_ne!(spoilt, GOOD, "{good}");
            assert_eq!(mistakes(&spoilt).len(), 1, "{bad}: {:?}", mistakes(&spoilt));
        }
        assert_eq!(mistakes("").len(), 9, "what is not told is not good");
    }
}
