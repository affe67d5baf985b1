//! The slots of a running server: who waits for one, and how a connection learns that it is to give way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::slots::{Id, SlotDecision, Slots};

/// All slots of a server.
pub(crate) struct Places {
    table: Mutex<Table>,
    /// A slot was freed, or may be evicted now.
    changed: Notify,
}

struct Table {
    slots: Slots,
    /// Wakes the task of a connection that is to give way.
    evictions: HashMap<Id, Arc<Notify>>,
}

/// A connection's slot, free again when this is dropped.
pub(crate) struct Place {
    id: Id,
    places: Arc<Places>,
    eviction: Arc<Notify>,
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let table = Table { slots: Slots::new(most), evictions: HashMap::new() };
        Arc::new(Self { table: Mutex::new(table), changed: Notify::new() })
    }

    /// Waits until there is a slot.
    pub(crate) async fn take(self: &Arc<Self>) -> Arc<Place> {
        loop {
            if let Some(place) = self.ask() {
                return Arc::new(place);
            }
            self.changed.notified().await;
        }
    }

    fn ask(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.table();
        match table.slots.ask() {
            SlotDecision::Take(id) => {
                let eviction = Arc::new(Notify::new());
                table.evictions.insert(id, Arc::clone(&eviction));
                Some(Place { id, places: Arc::clone(self), eviction })
            }
            SlotDecision::Evict(id) => {
                if let Some(eviction) = table.evictions.get(&id) {
                    eviction.notify_one();
                }
                None
            }
            SlotDecision::Wait => None,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until another connection needs the slot more.
    pub(crate) async fn evicted(&self) {
        self.eviction.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.slots.free(self.id);
        table.evictions.remove(&self.id);
        drop(table);
        self.places.changed.notify_one();
    }
}

/// A connection that answers a request, until this is dropped.
pub(crate) struct Answering {
    place: Arc<Place>,
    ends: bool,
}

impl Answering {
    pub(crate) fn begin(place: &Arc<Place>) -> Self {
        place.places.table().slots.begin(place.id);
        Self { place: Arc::clone(place), ends: true }
    }

    /// The connection keeps its slot until it is closed.
    pub(crate) fn with_no_end(mut self) -> Self {
        self.ends = false;
        self
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.ends {
            let places = &self.place.places;
            places.table().slots.end(self.place.id);
            places.changed.notify_one();
        }
    }
}
