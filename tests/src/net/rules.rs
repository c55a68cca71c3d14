//! What the switch does to frames, as faults that come and go independently of each other.

use std::collections::BTreeMap;

/// A party's place at the switch.
pub type Port = u8;

/// Ports below this number exist.
pub const PORTS_MAX: usize = 64;

/// A set of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports(u64);

impl Ports {
    /// Every port.
    pub const ALL: Self = Self(u64::MAX);

    /// These ports.
    #[must_use]
    pub fn of(ports: impl IntoIterator<Item = Port>) -> Self {
        Self(ports.into_iter().fold(0, |set, port| set | 1 << port))
    }

    /// Every port but these.
    #[must_use]
    pub fn others(self) -> Self {
        Self(!self.0)
    }

    /// True if the port is in the set.
    #[must_use]
    pub fn contains(self, port: Port) -> bool {
        self.0 >> port & 1 == 1
    }
}

/// What happens to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It vanishes.
    Cut,
    /// It vanishes, and its sender is told by a TCP reset that its connection is over.
    Reset,
    /// It vanishes once in a while: so many times in a thousand.
    Loss(u32),
    /// It arrives later: at least so many milliseconds, and up to so many more, drawn anew for each frame.
    Delay(u32, u32),
}

/// One direction of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Who sends.
    pub from: Ports,
    /// To whom.
    pub to: Ports,
    /// What then happens.
    pub effect: Effect,
}

/// A rule for each direction between two sets.
#[must_use]
pub fn between(one: Ports, other: Ports, effect: Effect) -> Vec<Rule> {
    vec![Rule { from: one, to: other, effect }, Rule { from: other, to: one, effect }]
}

/// All faults together, for one direction between two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Path {
    /// Frames vanish.
    pub cut: bool,
    /// Frames are answered by a reset.
    pub reset: bool,
    /// How many frames in a thousand vanish.
    pub loss: u32,
    /// Least delay in milliseconds.
    pub delay: u32,
    /// How much longer it may be.
    pub jitter: u32,
}

/// The faults in force, by the number that their maker gave them.
#[derive(Debug, Default)]
pub struct Rules {
    faults: BTreeMap<u64, Vec<Rule>>,
}

impl Rules {
    /// Puts a fault in force, in place of what its number had before.
    pub fn set(&mut self, fault: u64, rules: Vec<Rule>) {
        self.faults.insert(fault, rules);
    }

    /// Ends a fault.
    pub fn end(&mut self, fault: u64) {
        self.faults.remove(&fault);
    }

    /// Ends all faults.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// What happens to a frame. Where faults overlap, the worst of each kind counts, and delays add up.
    #[must_use]
    pub fn path(&self, from: Port, to: Port) -> Path {
        let mut path = Path::default();
        let rules = self.faults.values().flatten();
        for rule in rules.filter(|rule| rule.from.contains(from) && rule.to.contains(to)) {
            match rule.effect {
                Effect::Cut => path.cut = true,
                Effect::Reset => path.reset = true,
                Effect::Loss(permille) => path.loss = path.loss.max(permille),
                Effect::Delay(least, jitter) => {
                    path.delay += least;
                    path.jitter = path.jitter.max(jitter);
                }
            }
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_and_go_without_touching_each_other() {
        let mut rules = Rules::default();
        let (one, two) = (Ports::of([1]), Ports::of([2, 3]));
        rules.set(1, between(one, two, Effect::Cut));
        rules.set(2, vec![Rule { from: two, to: one, effect: Effect::Delay(10, 5) }]);
        rules.set(3, vec![Rule { from: two, to: Ports::ALL, effect: Effect::Delay(7, 2) }]);
        assert_eq!(rules.path(1, 2), Path { cut: true, ..Path::default() });
        assert_eq!(rules.path(3, 1), Path { cut: true, delay: 17, jitter: 5, ..Path::default() });
        rules.end(1);
        assert_eq!(rules.path(1, 2), Path::default());
        assert_eq!(rules.path(2, 1).delay, 17);
        assert_eq!(rules.path(2, 9).delay, 7);
        rules.heal();
        assert_eq!(rules.path(2, 1), Path::default());
    }

    #[test]
    fn a_one_way_fault_leaves_the_other_way_alone() {
        let mut rules = Rules::default();
        rules.set(
            1,
            vec![Rule { from: Ports::of([1]), to: Ports::of([1]).others(), effect: Effect::Reset }],
        );
        assert!(rules.path(1, 2).reset);
        assert!(!rules.path(2, 1).reset);
        assert!(!rules.path(1, 1).reset);
    }
}
