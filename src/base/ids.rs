//! Small numbers with a meaning, so that one can't be taken for another.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU8;

/// A virtual router of this daemon: its place in the engine's tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RouterId(pub u32);

/// An interface **as the configuration names it**: its place in [`LinkNames`].
///
/// The kernel's index of that interface comes and goes (an interface may be absent at start, be
/// deleted and made again, or be renamed); this id stays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u32);

/// The kernel's index of an interface; never 0 for one that exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IfIndex(pub u32);

/// Something that is tracked and is no interface: a script, a file, a process. Its place in the table
/// of such things.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrackId(pub u32);

/// A sync group: its place in the engine's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub u32);

/// A virtual router identifier, 1 to 255 (RFC 9568 section 5.2.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrid(NonZeroU8);

/// The interface names that the configuration speaks of, each once.
#[derive(Clone, Debug, Default)]
pub struct LinkNames {
    names: Vec<Box<str>>,
    ids: HashMap<Box<str>, LinkId>,
}

impl RouterId {
    /// The id as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl LinkId {
    /// The id as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl TrackId {
    /// The id as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl GroupId {
    /// The id as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Vrid {
    /// The identifier, or `None` for 0, which is not valid on the wire or in a configuration.
    pub const fn new(vrid: u8) -> Option<Self> {
        match NonZeroU8::new(vrid) {
            Some(vrid) => Some(Vrid(vrid)),
            None => None,
        }
    }

    /// The number, 1 to 255.
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl LinkNames {
    /// The id of `name`, made now if the name is new.
    pub fn intern(&mut self, name: &str) -> LinkId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = LinkId(self.names.len() as u32);
        self.names.push(name.into());
        self.ids.insert(name.into(), id);
        id
    }

    /// The id of `name`, if the configuration names it.
    pub fn find(&self, name: &str) -> Option<LinkId> {
        self.ids.get(name).copied()
    }

    /// The name of `id`.
    ///
    /// # Panics
    /// If `id` was made by another table.
    pub fn name(&self, id: LinkId) -> &str {
        &self.names[id.index()]
    }

    /// How many names there are; ids run from 0 to one below it.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no interface is named.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All ids with their names, in the order they were made.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &str)> {
        self.names.iter().enumerate().map(|(index, name)| (LinkId(index as u32), &**name))
    }
}

impl fmt::Debug for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vrid({})", self.0)
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
