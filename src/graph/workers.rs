//! Which workers there are, and which instruments are whose.

use barflow_operators::instrument::InstrumentId;

/// Which workers there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workers {
    /// This many threads of this process.
    Threads(usize),
    /// One process of several that form one dataflow over TCP.
    Cluster {
        /// Threads per process.
        threads: usize,
        /// Which process this is.
        process: usize,
        /// `host:port` of every process, in order.
        hosts: Vec<String>,
    },
}

impl Workers {
    /// Workers in this process.
    pub fn here(&self) -> usize {
        match self {
            Self::Threads(threads) | Self::Cluster { threads, .. } => (*threads).max(1),
        }
    }

    /// Workers in all processes.
    pub fn everywhere(&self) -> usize {
        self.here() * self.processes()
    }

    /// Index of this process's first worker among all.
    pub fn first(&self) -> usize {
        self.process() * self.here()
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.hosts().len().max(1)
    }

    /// Which of them this is.
    pub fn process(&self) -> usize {
        match self {
            Self::Threads(_) => 0,
            Self::Cluster { process, .. } => *process,
        }
    }

    /// `host:port` of every process; empty for one that is alone.
    pub fn hosts(&self) -> &[String] {
        match self {
            Self::Threads(_) => &[],
            Self::Cluster { hosts, .. } => hosts,
        }
    }

    /// What falls to this process.
    pub fn share(&self) -> Share {
        Share { first: self.first(), here: self.here(), everywhere: self.everywhere() }
    }
}

/// The part of all instruments that falls to one process. An instrument belongs to the worker that
/// its trades are routed to, regardless of their reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    first: usize,
    here: usize,
    everywhere: usize,
}

impl Share {
    /// Which of this process's workers an instrument belongs to, if to any.
    pub fn worker(&self, instrument: &InstrumentId) -> Option<usize> {
        let worker = (instrument.shard_hash() % self.everywhere as u64) as usize;
        worker.checked_sub(self.first).filter(|worker| *worker < self.here)
    }

    /// Whether an instrument belongs to this process.
    pub fn holds(&self, instrument: &InstrumentId) -> bool {
        self.worker(instrument).is_some()
    }

    /// Whether there are other processes that hold the rest.
    pub fn is_part(&self) -> bool {
        self.here < self.everywhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(process: usize) -> Workers {
        let hosts = ["a:1", "b:1", "c:1"].map(str::to_owned).to_vec();
        Workers::Cluster { threads: 2, process, hosts }
    }

    #[test]
    fn every_instrument_belongs_to_one_worker_of_one_process() {
        let mut held = [0; 3];
        for number in 0..200 {
            let instrument: InstrumentId = format!("test:spot:S{number}").parse().unwrap();
            let at: Vec<(usize, usize)> =
                (0..3).filter_map(|p| Some((p, process(p).share().worker(&instrument)?))).collect();
            let [(holder, worker)] = at[..] else { panic!("{instrument}: {at:?}") };
            let first = process(holder).first();
            assert_eq!((first + worker) as u64, instrument.shard_hash() % 6);
            assert!(Workers::Threads(6).share().holds(&instrument));
            held[holder] += 1;
        }
        assert!(held.iter().all(|n| *n > 40), "{held:?}");
    }

    #[test]
    fn a_process_that_is_alone_holds_everything() {
        assert!(!Workers::Threads(3).share().is_part());
        let alone = Workers::Cluster { threads: 3, process: 0, hosts: vec!["a:1".to_owned()] };
        assert_eq!(alone.share(), Workers::Threads(3).share());
        assert!(process(1).share().is_part());
    }
}
