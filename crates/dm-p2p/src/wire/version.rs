use libp2p::StreamProtocol;

/// A version of the object protocol, or of that of notices. Each speaks all that those before
/// it speak; the messages say which of their kinds a version has ([`super::Message::kinds`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// Finds, fetches, pushes and challenges.
    One,
    /// Finds the objects of owners that the reader names, and page by page; announces
    /// many locators in one message; says that a request was not understood.
    Two,
    /// Goes on with a push where an earlier one broke off.
    Three,
    /// A request may say to which trace it belongs.
    Four,
}

impl Version {
    /// All that this node speaks, the newest first: a stream is in the first one that
    /// both sides know.
    pub(crate) const ALL: [Self; 4] = [Self::Four, Self::Three, Self::Two, Self::One];

    /// The name under which libp2p negotiates it.
    pub(crate) const fn protocol(self) -> StreamProtocol {
        match self {
            Self::One => StreamProtocol::new("/datamgmt/objects/1"),
            Self::Two => StreamProtocol::new("/datamgmt/objects/2"),
            Self::Three => StreamProtocol::new("/datamgmt/objects/3"),
            Self::Four => StreamProtocol::new("/datamgmt/objects/4"),
        }
    }
}
