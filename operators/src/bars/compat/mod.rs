//! The bars of other programs, to the last bit where they can be had: for comparison and for
//! moving over, not for new work.
//!
//! Each machine names its source. All but nautilus are [`Rule`](super::rule::Rule)s in the common
//! frame; nautilus splits trades and therefore brings its own.

pub mod bar_lengths;
pub mod finmlkit;
pub mod mlfinlab_imbalance;
pub mod mlfinlab_runs;
pub mod nautilus;
pub mod predecessor_head;
pub mod predecessor_seed;
pub mod spec;
pub mod window;

#[cfg(test)]
mod tests;
