//! A small consensus protocol: an ordered feed of commands with terms, elections and minorities that stall.
//!
//! It stands in for openraft, which is not what is tested here. It behaves like it where it matters: entries of a
//! deposed leader may survive or vanish, commands reach nodes late, a leader may not know that it was deposed, and
//! reading by a quorum round works as in Raft. Pure: messages in, messages out.

use std::{collections::BTreeSet, rc::Rc};

use callboard_control_plane::machine::Command;

/// An entry of the log; `None` is what a new leader begins its term with.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The term of the leader that made it.
    pub(crate) term: u64,
    /// What is agreed on.
    pub(crate) command: Option<Rc<Command>>,
}

/// What nodes say to each other.
#[derive(Clone, Debug)]
pub(crate) enum RaftMessage {
    /// Asks for a vote.
    Vote { term: u64, last_term: u64, last_index: usize },
    /// Answers a [`RaftMessage::Vote`].
    Voted { term: u64, granted: bool },
    /// Entries after `before`, or none as a sign of life.
    Append {
        term: u64,
        before: usize,
        before_term: u64,
        entries: Vec<Entry>,
        commit: usize,
        round: u64,
    },
    /// Answers a [`RaftMessage::Append`].
    Appended { term: u64, matched: Option<usize>, length: usize, round: u64 },
}

/// Who waits for a quorum round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadTag {
    /// The node whose renewal it is.
    pub(crate) node: usize,
    /// Its life.
    pub(crate) life: u64,
    /// The renewal's number.
    pub(crate) number: u64,
}

#[derive(Clone, Debug)]
struct Leading {
    next: Vec<usize>,
    matched: Vec<usize>,
    acked: Vec<u64>,
    round: u64,
    reads: Vec<(u64, ReadTag)>,
    heartbeat_at: u64,
}

#[derive(Clone, Debug)]
enum Role {
    Follower,
    Candidate(BTreeSet<usize>),
    Leader(Leading),
}

/// One node's part. Term, vote and log survive a crash.
#[derive(Clone, Debug)]
pub(crate) struct Raft {
    me: usize,
    voters: usize,
    nodes: usize,
    term: u64,
    voted_for: Option<usize>,
    log: Vec<Entry>,
    commit: usize,
    role: Role,
    leader: Option<usize>,
    heard_at: u64,
    election_at: u64,
    /// Sent with the next batch of messages.
    pub(crate) out: Vec<(usize, RaftMessage)>,
}

const HEARTBEAT: u64 = 100_000;
const ELECTION_MIN: u64 = 300_000;
const ELECTION_SPAN: u64 = 300_000;

impl Raft {
    /// A follower with entries that everybody has.
    #[must_use]
    pub(crate) fn new(me: usize, voters: usize, nodes: usize, log: Vec<Entry>) -> Self {
        Self {
            me,
            voters,
            nodes,
            term: 1,
            voted_for: None,
            commit: log.len(),
            log,
            role: Role::Follower,
            leader: None,
            heard_at: 0,
            election_at: 0,
            out: Vec::new(),
        }
    }

    /// The process died: only what is on disk is left. `applied` is where its state machine begins again.
    pub(crate) fn crash(&mut self, applied: usize) {
        self.role = Role::Follower;
        self.leader = None;
        self.commit = applied;
        self.election_at = 0;
        self.out.clear();
    }

    /// True if it believes that it leads.
    #[must_use]
    pub(crate) fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Whom it believes to lead.
    #[must_use]
    pub(crate) fn leader(&self) -> Option<usize> {
        if self.leads() { Some(self.me) } else { self.leader }
    }

    /// Its term.
    #[must_use]
    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    /// How far the log is known to be agreed on.
    #[must_use]
    pub(crate) fn committed(&self) -> usize {
        self.commit
    }

    /// An entry, counted from 1.
    #[must_use]
    pub(crate) fn entry(&self, index: usize) -> &Entry {
        &self.log[index - 1]
    }

    fn last(&self) -> (u64, usize) {
        (self.log.last().map_or(0, |entry| entry.term), self.log.len())
    }

    fn majority(&self) -> usize {
        self.voters / 2 + 1
    }

    /// Time passes. `draw` is any number; it decides the next election timeout.
    pub(crate) fn tick(&mut self, now: u64, draw: u64) {
        if let Role::Leader(leading) = &mut self.role {
            if now >= leading.heartbeat_at {
                leading.heartbeat_at = now + HEARTBEAT;
                self.broadcast();
            }
            return;
        }
        if self.election_at == 0 {
            self.election_at = now + ELECTION_MIN + draw % ELECTION_SPAN;
        }
        if self.me < self.voters && now >= self.election_at {
            self.election_at = now + ELECTION_MIN + draw % ELECTION_SPAN;
            self.term += 1;
            self.voted_for = Some(self.me);
            self.leader = None;
            self.role = Role::Candidate(BTreeSet::from([self.me]));
            let ((last_term, last_index), term) = (self.last(), self.term);
            for to in (0..self.voters).filter(|to| *to != self.me) {
                self.out.push((to, RaftMessage::Vote { term, last_term, last_index }));
            }
            self.win_if_elected(now);
        }
    }

    /// Takes a command to be agreed on, if this node leads.
    pub(crate) fn propose(&mut self, command: Rc<Command>) -> bool {
        if !self.leads() {
            return false;
        }
        self.log.push(Entry { term: self.term, command: Some(command) });
        self.broadcast();
        self.advance();
        true
    }

    /// Asks a majority whether this node still leads. The answer comes from [`Raft::confirmed`].
    pub(crate) fn read(&mut self, tag: ReadTag) {
        if let Role::Leader(leading) = &mut self.role {
            leading.round += 1;
            leading.reads.push((leading.round, tag));
            self.broadcast();
        }
    }

    /// The reads that a majority confirmed. Each may name [`Raft::committed`] as its index.
    pub(crate) fn confirmed(&mut self) -> Vec<ReadTag> {
        let (majority, me, voters) = (self.majority(), self.me, self.voters);
        let own_term =
            self.commit > 0 && self.log.get(self.commit - 1).is_some_and(|it| it.term == self.term);
        let Role::Leader(leading) = &mut self.role else {
            return Vec::new();
        };
        if !own_term {
            return Vec::new();
        }
        let acked = &leading.acked;
        let agreed = |round: u64| {
            (0..voters).filter(|node| *node == me || acked[*node] >= round).count() >= majority
        };
        let done = leading.reads.iter().take_while(|(round, _)| agreed(*round)).count();
        leading.reads.drain(..done).map(|(_, tag)| tag).collect()
    }

    fn broadcast(&mut self) {
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        for to in (0..self.nodes).filter(|to| *to != self.me) {
            let before = leading.next[to];
            let message = RaftMessage::Append {
                term: self.term,
                before,
                before_term: if before == 0 { 0 } else { self.log[before - 1].term },
                entries: self.log[before..].to_vec(),
                commit: self.commit,
                round: leading.round,
            };
            leading.next[to] = self.log.len();
            self.out.push((to, message));
        }
    }

    fn win_if_elected(&mut self, now: u64) {
        let Role::Candidate(votes) = &self.role else {
            return;
        };
        if votes.len() < self.majority() {
            return;
        }
        self.role = Role::Leader(Leading {
            next: vec![self.log.len(); self.nodes],
            matched: vec![0; self.nodes],
            acked: vec![0; self.nodes],
            round: 0,
            reads: Vec::new(),
            heartbeat_at: now + HEARTBEAT,
        });
        self.leader = Some(self.me);
        self.log.push(Entry { term: self.term, command: None });
        self.broadcast();
        self.advance();
    }

    fn follow(&mut self, term: u64) {
        if term > self.term {
            self.term = term;
            self.voted_for = None;
            self.role = Role::Follower;
            self.leader = None;
        }
    }

    /// Takes a message of another node.
    pub(crate) fn receive(&mut self, from: usize, message: RaftMessage, now: u64, draw: u64) {
        match message {
            RaftMessage::Vote { term, last_term, last_index } => {
                // Who hears a leader helps nobody to depose it.
                let content = self.leads() || now < self.heard_at + ELECTION_MIN;
                if content && self.leader.is_some() {
                    return;
                }
                self.follow(term);
                let fits = (last_term, last_index) >= self.last();
                let free = self.voted_for.is_none_or(|other| other == from);
                let granted = term == self.term && fits && free;
                if granted {
                    self.voted_for = Some(from);
                    self.election_at = now + ELECTION_MIN + draw % ELECTION_SPAN;
                }
                self.out.push((from, RaftMessage::Voted { term: self.term, granted }));
            }
            RaftMessage::Voted { term, granted } => {
                self.follow(term);
                if let Role::Candidate(votes) = &mut self.role
                    && granted
                    && term == self.term
                {
                    votes.insert(from);
                    self.win_if_elected(now);
                }
            }
            RaftMessage::Append { term, before, before_term, entries, commit, round } => {
                self.follow(term);
                // A leader that is out of date is told so, and nothing that could pass for a confirmation.
                let (mut matched, mut acked) = (None, 0);
                if term == self.term {
                    acked = round;
                    self.role = Role::Follower;
                    self.leader = Some(from);
                    self.heard_at = now;
                    self.election_at = now + ELECTION_MIN + draw % ELECTION_SPAN;
                    matched = self.append(before, before_term, entries, commit);
                }
                // What was agreed on is the same at the leader: from there on it fits.
                let length = if matched.is_some() { self.log.len() } else { self.commit };
                let term = self.term;
                let answer = RaftMessage::Appended { term, matched, length, round: acked };
                self.out.push((from, answer));
            }
            RaftMessage::Appended { term, matched, length, round } => {
                self.follow(term);
                self.on_appended(from, term, matched, length, round);
            }
        }
    }

    fn append(
        &mut self,
        before: usize,
        before_term: u64,
        entries: Vec<Entry>,
        commit: usize,
    ) -> Option<usize> {
        let fits = before == 0 || self.log.get(before - 1).is_some_and(|it| it.term == before_term);
        if !fits {
            return None;
        }
        let end = before + entries.len();
        for (at, entry) in (before..).zip(entries) {
            if self.log.get(at).is_some_and(|known| known.term != entry.term) {
                assert!(at >= self.commit, "an agreed entry is never replaced");
                self.log.truncate(at);
            }
            if at == self.log.len() {
                self.log.push(entry);
            }
        }
        self.commit = self.commit.max(commit.min(end));
        Some(end)
    }

    fn on_appended(
        &mut self,
        from: usize,
        term: u64,
        matched: Option<usize>,
        length: usize,
        round: u64,
    ) {
        let current = term == self.term;
        let Role::Leader(leading) = &mut self.role else {
            return;
        };
        if !current {
            return;
        }
        leading.acked[from] = leading.acked[from].max(round);
        match matched {
            Some(matched) => {
                leading.matched[from] = leading.matched[from].max(matched);
                // What was lost on the way is sent again with the next sign of life.
                if matched < leading.next[from] && length <= matched {
                    leading.next[from] = matched;
                }
            }
            None => leading.next[from] = length,
        }
        self.advance();
    }

    fn advance(&mut self) {
        let Role::Leader(leading) = &self.role else {
            return;
        };
        let mut matched: Vec<usize> = (0..self.voters)
            .map(|node| if node == self.me { self.log.len() } else { leading.matched[node] })
            .collect();
        matched.sort_unstable_by(|a, b| b.cmp(a));
        let agreed = matched[self.majority() - 1];
        if agreed > self.commit && self.log[agreed - 1].term == self.term {
            self.commit = agreed;
        }
    }
}
