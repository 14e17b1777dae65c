//! A model of the kernel's side, for tests: interfaces, addresses, two netlink sockets with their
//! queues. It reads our requests and writes its messages with `netlink-packet-route`, so that the
//! room's own reader and writer are held against somebody else's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeader, AddressHeaderFlags, AddressMessage,
    AddressProtocol,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType,
    LinkMessage, MacVlanMode,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

/// The port of the command socket.
pub(super) const PORT: u32 = 4242;
/// Of the monitor.
const MONITOR_PORT: u32 = 4343;

/// How many objects are on a page of a dump.
const PAGE: usize = 3;

#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) running: bool,
    pub(super) mtu: u32,
    pub(super) addresses: Vec<OnDevice>,
    pub(super) group: u32,
    /// What it is as a macvlan.
    pub(super) macvlan: Option<OnTop>,
}

/// What a macvlan is on top of, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnTop {
    pub(super) lower: u32,
    pub(super) mac: Vec<u8>,
    pub(super) mode: MacVlanMode,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnDevice {
    pub(super) ip: IpAddr,
    pub(super) prefix_len: u8,
    pub(super) scope: u8,
    pub(super) secondary: bool,
    /// Who put it there last: we, or somebody else.
    pub(super) ours: bool,
}

/// What a reader of a socket gets.
#[derive(Debug)]
pub(super) enum Received {
    Datagram(Vec<u8>),
    Overrun,
}

/// A socket's receive queue, overrun as `netlink_overrun()` has it: the error is told once and at
/// once, and until the queue has been read empty nothing more is taken.
#[derive(Debug)]
struct Queue {
    datagrams: VecDeque<Vec<u8>>,
    capacity: usize,
    congested: bool,
    error: bool,
}

#[derive(Debug)]
struct RunningDump {
    links: bool,
    seq: u32,
    next: usize,
    generation: u64,
    interrupted: bool,
}

#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) devices: BTreeMap<u32, Device>,
    /// The administrator's `promote_secondaries`.
    pub(super) promote: bool,
    /// Addresses that are refused.
    pub(super) refused: BTreeSet<IpAddr>,
    /// How often somebody else has removed an address, while its interface was up.
    pub(super) foreign_deletions: BTreeMap<IpAddr, usize>,
    command: Queue,
    monitor: Queue,
    dump: Option<RunningDump>,
    generation: u64,
    next_index: u32,
    /// IPv6 additions are told of later, if they are still there then.
    untold: VecDeque<(u32, IpAddr)>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Us(u32),
    Others,
}

impl Queue {
    fn new(capacity: usize) -> Self {
        Queue { datagrams: VecDeque::new(), capacity, congested: false, error: false }
    }

    fn push(&mut self, datagram: Vec<u8>) {
        if self.congested || self.datagrams.len() >= self.capacity {
            if !self.congested {
                (self.congested, self.error) = (true, true);
            }
            return;
        }
        self.datagrams.push_back(datagram);
    }

    fn pop(&mut self) -> Option<Received> {
        let received = match std::mem::take(&mut self.error) {
            true => Some(Received::Overrun),
            false => self.datagrams.pop_front().map(Received::Datagram),
        };
        self.congested &= !self.datagrams.is_empty();
        received
    }
}

impl Kernel {
    pub(super) fn new(monitor_capacity: usize, command_capacity: usize) -> Self {
        Kernel {
            devices: BTreeMap::new(),
            promote: false,
            refused: BTreeSet::new(),
            foreign_deletions: BTreeMap::new(),
            command: Queue::new(command_capacity),
            monitor: Queue::new(monitor_capacity),
            dump: None,
            generation: 0,
            next_index: 2,
            untold: VecDeque::new(),
        }
    }

    /// From now on the queues hold no more than that.
    pub(super) fn set_capacity(&mut self, monitor: usize, command: usize) {
        (self.monitor.capacity, self.command.capacity) = (monitor, command);
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.devices.iter().find(|(_, device)| device.name == name).map(|(&index, _)| index)
    }

    pub(super) fn holds(&self, name: &str, ip: IpAddr, prefix_len: u8) -> Option<&OnDevice> {
        let device = &self.devices[&self.find(name)?];
        device.addresses.iter().find(|it| (it.ip, it.prefix_len) == (ip, prefix_len))
    }

    // What the administrator does.

    pub(super) fn create(&mut self, name: &str) {
        if self.find(name).is_some() {
            return;
        }
        let index = self.next_index;
        self.next_index += 1;
        let (up, running, addresses) = (true, true, Vec::new());
        let (group, macvlan) = (0, None);
        let name = name.to_owned();
        let device = Device { name, up, running, mtu: 1500, addresses, group, macvlan };
        self.devices.insert(index, device);
        self.tell_link(index, false);
    }

    pub(super) fn delete(&mut self, name: &str) {
        let Some(index) = self.find(name) else {
            return;
        };
        let on_top = |device: &Device| device.macvlan.as_ref().is_some_and(|it| it.lower == index);
        let above: Vec<String> =
            self.devices.values().filter(|it| on_top(it)).map(|it| it.name.clone()).collect();
        for name in above {
            self.delete(&name);
        }
        self.set_up(name, false);
        let device = self.devices.get_mut(&index).unwrap();
        for address in std::mem::take(&mut device.addresses) {
            self.tell_address(index, &address, true, Cause::Others);
        }
        self.tell_link(index, true);
        self.devices.remove(&index);
    }

    pub(super) fn set_up(&mut self, name: &str, up: bool) {
        let Some(index) = self.find(name) else {
            return;
        };
        let device = self.devices.get_mut(&index).unwrap();
        if device.up == up {
            return;
        }
        (device.up, device.running) = (up, up);
        // IPv6 doesn't survive that (`keep_addr_on_down` is off), IPv4 does.
        let gone = match up {
            true => Vec::new(),
            false => device.addresses.extract_if(.., |it| it.ip.is_ipv6()).collect(),
        };
        self.tell_link(index, false);
        for address in gone {
            self.tell_address(index, &address, true, Cause::Others);
        }
    }

    pub(super) fn set_carrier(&mut self, name: &str, running: bool) {
        if let Some(index) = self.find(name) {
            let device = self.devices.get_mut(&index).unwrap();
            device.running = running && device.up;
            self.tell_link(index, false);
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let (Some(index), None) = (self.find(from), self.find(to)) {
            self.devices.get_mut(&index).unwrap().name = to.to_owned();
            self.tell_link(index, false);
        }
    }

    pub(super) fn foreign_add(&mut self, name: &str, ip: IpAddr, prefix_len: u8) {
        if let Some(index) = self.find(name) {
            let _ = self.add(index, ip, prefix_len, 0, false, Cause::Others);
        }
    }

    pub(super) fn foreign_delete(&mut self, name: &str, ip: IpAddr, prefix_len: u8) {
        let Some(index) = self.find(name) else {
            return;
        };
        let before: Vec<IpAddr> = self.devices[&index].addresses.iter().map(|it| it.ip).collect();
        if self.remove(index, ip, prefix_len, Cause::Others).is_ok() {
            let device = &self.devices[&index];
            let gone = |ip: &&IpAddr| !device.addresses.iter().any(|it| it.ip == **ip);
            for ip in before.iter().filter(gone) {
                *self.foreign_deletions.entry(*ip).or_default() += 1;
            }
        }
    }

    /// Time passes: IPv6 additions are told of.
    pub(super) fn tell_late(&mut self) {
        while let Some((index, ip)) = self.untold.pop_front() {
            let device = self.devices.get(&index);
            let address = device.and_then(|it| it.addresses.iter().find(|it| it.ip == ip)).cloned();
            if let Some(address) = address {
                self.tell_address(index, &address, false, Cause::Others);
            }
        }
    }

    // What the sockets do.

    pub(super) fn receive_monitor(&mut self) -> Option<Received> {
        self.monitor.pop()
    }

    /// Reads the command socket. A dump's next page is made when the one before has been read.
    pub(super) fn receive_command(&mut self) -> Option<Received> {
        let received = self.command.pop();
        if received.is_some() {
            self.continue_dump();
        }
        received
    }

    pub(super) fn send_monitor(&mut self, bytes: &[u8]) {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).unwrap();
        assert_eq!(message.payload, NetlinkPayload::Noop);
        assert_eq!(message.header.flags as i32, libc::NLM_F_REQUEST | libc::NLM_F_ACK);
        let answer = answer(message.header.sequence_number, 0, MONITOR_PORT);
        self.monitor.push(answer);
    }

    pub(super) fn send_command(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).unwrap();
            rest = &rest[(message.header.length as usize).next_multiple_of(4)..];
            let (seq, flags) = (message.header.sequence_number, i32::from(message.header.flags));
            assert!(flags & libc::NLM_F_REQUEST != 0);
            let of_link = matches!(
                message.payload,
                NetlinkPayload::InnerMessage(
                    RouteNetlinkMessage::NewLink(_) | RouteNetlinkMessage::DelLink(_)
                )
            );
            let answered = of_link || rest.is_empty() && flags & 0x300 != 0x300;
            assert_eq!(flags & libc::NLM_F_ACK != 0, answered);
            let request = match message.payload {
                NetlinkPayload::InnerMessage(request) => request,
                NetlinkPayload::Noop => {
                    self.command.push(answer(seq, 0, PORT));
                    continue;
                }
                other => panic!("not a request: {other:?}"),
            };
            let result = match request {
                RouteNetlinkMessage::GetLink(_) => self.start_dump(seq, true),
                RouteNetlinkMessage::GetAddress(_) => self.start_dump(seq, false),
                RouteNetlinkMessage::NewAddress(it) => {
                    assert!(flags & libc::NLM_F_CREATE != 0);
                    let replace = flags & libc::NLM_F_REPLACE != 0;
                    let (ip, scope) = (local(&it), it.header.scope.into());
                    let (index, prefix_len) = (it.header.index, it.header.prefix_len);
                    self.add(index, ip, prefix_len, scope, replace, Cause::Us(seq)).map(|()| true)
                }
                RouteNetlinkMessage::DelAddress(it) => {
                    let (index, prefix_len) = (it.header.index, it.header.prefix_len);
                    self.remove(index, local(&it), prefix_len, Cause::Us(seq)).map(|()| true)
                }
                RouteNetlinkMessage::NewLink(it) => {
                    let new = flags & libc::NLM_F_CREATE != 0;
                    if new { self.make(&it) } else { self.change(&it) }.map(|()| true)
                }
                RouteNetlinkMessage::DelLink(it) => self.unlink(&it).map(|()| true),
                other => panic!("unexpected {other:?}"),
            };
            match result {
                Ok(true) if flags & libc::NLM_F_ACK != 0 => self.command.push(answer(seq, 0, PORT)),
                Ok(_) => {}
                Err(error) => self.command.push(answer(seq, error, PORT)),
            }
        }
    }

    fn make(&mut self, link: &LinkMessage) -> Result<(), i32> {
        let (name, lower) =
            (link.attributes.iter()).fold((None, None), |(name, lower), it| match it {
                LinkAttribute::IfName(it) => (Some(it.clone()), lower),
                LinkAttribute::Link(it) => (name, Some(*it)),
                _ => (name, lower),
            });
        let (name, lower) = (name.ok_or(libc::EINVAL)?, lower.ok_or(libc::EINVAL)?);
        assert!(name.len() < libc::IFNAMSIZ);
        if self.find(&name).is_some() {
            return Err(libc::EEXIST);
        }
        if !self.devices.contains_key(&lower) {
            return Err(libc::ENODEV);
        }
        let index = self.next_index;
        self.next_index += 1;
        let mac = vec![2, 0, 0, 0, 0, index as u8];
        let macvlan = Some(OnTop { lower, mac, mode: MacVlanMode::Vepa });
        let (up, running, addresses, group) = (false, false, Vec::new(), 0);
        let device = Device { name, up, running, mtu: 1500, addresses, group, macvlan };
        self.devices.insert(index, device);
        self.adjust(index, link);
        self.tell_link(index, false);
        Ok(())
    }

    fn change(&mut self, link: &LinkMessage) -> Result<(), i32> {
        let index = link.header.index;
        if !self.devices.contains_key(&index) {
            return Err(libc::ENODEV);
        }
        self.adjust(index, link);
        self.tell_link(index, false);
        Ok(())
    }

    fn adjust(&mut self, index: u32, link: &LinkMessage) {
        let device = self.devices.get_mut(&index).unwrap();
        if link.header.change_mask.contains(LinkFlags::Up) {
            device.up = link.header.flags.contains(LinkFlags::Up);
            device.running = device.up;
        }
        for attribute in &link.attributes {
            match (attribute, &mut device.macvlan) {
                (LinkAttribute::Group(group), _) => device.group = *group,
                (LinkAttribute::Address(mac), Some(on_top)) => on_top.mac = mac.clone(),
                (LinkAttribute::LinkInfo(info), Some(on_top)) => {
                    assert!(matches!(info[0], LinkInfo::Kind(InfoKind::MacVlan)));
                    let LinkInfo::Data(InfoData::MacVlan(data)) = &info[1] else {
                        panic!("{info:?}")
                    };
                    let [InfoMacVlan::Mode(mode)] = data[..] else { panic!("{data:?}") };
                    on_top.mode = mode;
                }
                _ => {}
            }
        }
    }

    fn unlink(&mut self, link: &LinkMessage) -> Result<(), i32> {
        let group = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Group(group) => Some(*group),
            _ => None,
        });
        let index = link.header.index;
        let meant = |(at, device): (&u32, &Device)| {
            let it = group.map_or(*at == index, |group| device.group == group);
            it.then(|| device.name.clone())
        };
        let names: Vec<String> = self.devices.iter().filter_map(meant).collect();
        for name in &names {
            self.delete(name);
        }
        if names.is_empty() { Err(libc::ENODEV) } else { Ok(()) }
    }

    fn start_dump(&mut self, seq: u32, links: bool) -> Result<bool, i32> {
        if self.dump.is_some() {
            return Err(libc::EBUSY);
        }
        let (next, generation, interrupted) = (0, self.generation, false);
        self.dump = Some(RunningDump { links, seq, next, generation, interrupted });
        if self.command.datagrams.is_empty() {
            self.continue_dump();
        }
        Ok(false)
    }

    fn continue_dump(&mut self) {
        let Some(mut dump) = self.dump.take() else {
            return;
        };
        dump.interrupted |= dump.generation != self.generation;
        let objects: Vec<RouteNetlinkMessage> = match dump.links {
            true => self.devices.iter().map(|(&at, it)| new_link(at, it)).collect(),
            false => self
                .devices
                .iter()
                .flat_map(|(&at, it)| it.addresses.iter().map(move |it| (at, it)))
                .map(|(at, it)| RouteNetlinkMessage::NewAddress(address_message(at, it)))
                .collect(),
        };
        let flags = libc::NLM_F_MULTI as u16 | if dump.interrupted { 0x10 } else { 0 };
        let mut page = Vec::new();
        for object in objects.into_iter().skip(dump.next).take(PAGE) {
            page.extend(message(object, flags, dump.seq, PORT));
            dump.next += 1;
        }
        if page.is_empty() {
            let mut done = answer(dump.seq, 0, PORT);
            done.truncate(20);
            done[0] = 20;
            done[4] = libc::NLMSG_DONE as u8;
            done[6..8].copy_from_slice(&flags.to_ne_bytes());
            page = done;
        } else {
            self.dump = Some(dump);
        }
        // Pages don't go through the check for congestion.
        self.command.datagrams.push_back(page);
    }

    fn add(
        &mut self,
        index: u32,
        ip: IpAddr,
        prefix_len: u8,
        scope: u8,
        replace: bool,
        cause: Cause,
    ) -> Result<(), i32> {
        let device = self.devices.get_mut(&index).ok_or(libc::ENODEV)?;
        if self.refused.contains(&ip) && cause != Cause::Others {
            return Err(libc::EACCES);
        }
        if prefix_len > if ip.is_ipv4() { 32 } else { 128 } {
            return Err(libc::EINVAL);
        }
        let ours = cause != Cause::Others;
        let same = |it: &&mut OnDevice| (it.ip, it.prefix_len) == (ip, prefix_len);
        if let Some(there) = device.addresses.iter_mut().find(same) {
            if !replace {
                return Err(libc::EEXIST);
            }
            there.ours = ours;
            let there = there.clone();
            self.generation += 1;
            self.tell_address(index, &there, false, cause);
            return Ok(());
        }
        let mut secondary = false;
        for other in device.addresses.iter().filter(|it| !it.secondary) {
            if same_subnet((ip, prefix_len), (other.ip, other.prefix_len)) {
                if other.scope != scope {
                    return Err(libc::EINVAL);
                }
                secondary = true;
            }
        }
        let address = OnDevice { ip, prefix_len, scope, secondary, ours };
        device.addresses.push(address.clone());
        self.generation += 1;
        match ip {
            IpAddr::V4(_) => self.tell_address(index, &address, false, cause),
            IpAddr::V6(_) => self.untold.push_back((index, ip)),
        }
        Ok(())
    }

    fn remove(&mut self, index: u32, ip: IpAddr, prefix_len: u8, cause: Cause) -> Result<(), i32> {
        let promote = self.promote;
        let device = self.devices.get_mut(&index).ok_or(libc::ENODEV)?;
        let is_it = |it: &OnDevice| (it.ip, it.prefix_len) == (ip, prefix_len);
        let at = device.addresses.iter().position(is_it).ok_or(libc::EADDRNOTAVAIL)?;
        let address = device.addresses.remove(at);
        let dependent =
            |it: &OnDevice| it.secondary && same_subnet((ip, prefix_len), (it.ip, it.prefix_len));
        let mut gone = Vec::new();
        let mut promoted = None;
        if !address.secondary && !promote {
            gone = device.addresses.extract_if(.., |it| dependent(it)).collect();
        } else if !address.secondary
            && let Some(first) = device.addresses.iter_mut().find(|it| dependent(it))
        {
            first.secondary = false;
            promoted = Some(first.clone());
        }
        gone.push(address);
        self.generation += 1;
        for address in gone {
            self.tell_address(index, &address, true, cause);
        }
        if let Some(promoted) = promoted {
            self.tell_address(index, &promoted, false, cause);
        }
        Ok(())
    }

    fn tell_link(&mut self, index: u32, gone: bool) {
        self.generation += 1;
        let RouteNetlinkMessage::NewLink(link) = new_link(index, &self.devices[&index]) else {
            return;
        };
        let event = match gone {
            true => RouteNetlinkMessage::DelLink(link),
            false => RouteNetlinkMessage::NewLink(link),
        };
        self.monitor.push(message(event, 0, 0, 0));
    }

    fn tell_address(&mut self, index: u32, address: &OnDevice, gone: bool, cause: Cause) {
        let body = address_message(index, address);
        let event = match gone {
            true => RouteNetlinkMessage::DelAddress(body),
            false => RouteNetlinkMessage::NewAddress(body),
        };
        let (seq, port) = match cause {
            Cause::Us(seq) if address.ip.is_ipv4() => (seq, PORT),
            // Others have numbers, too, and they may be like ours.
            Cause::Others if address.ip.is_ipv4() => (17, 999),
            _ => (0, 0),
        };
        self.monitor.push(message(event, 0, seq, port));
    }
}

/// A link as the kernel would tell of it.
fn new_link(index: u32, device: &Device) -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.link_layer_type = LinkLayerType::Ether;
    link.header.flags.set(LinkFlags::Up, device.up);
    link.header.flags.set(LinkFlags::Running, device.running);
    link.attributes = vec![
        LinkAttribute::IfName(device.name.clone()),
        LinkAttribute::Mtu(device.mtu),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, index as u8]),
        LinkAttribute::Group(device.group),
    ];
    if let Some(OnTop { lower, mac, mode }) = &device.macvlan {
        link.attributes[2] = LinkAttribute::Address(mac.clone());
        link.attributes.push(LinkAttribute::Link(*lower));
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![
                InfoMacVlan::BcQueueLen(1000),
                InfoMacVlan::Mode(*mode),
            ])),
        ]));
    }
    RouteNetlinkMessage::NewLink(link)
}

fn address_message(index: u32, address: &OnDevice) -> AddressMessage {
    let mut body = AddressMessage::default();
    body.header = AddressHeader {
        family: if address.ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 },
        prefix_len: address.prefix_len,
        flags: AddressHeaderFlags::empty(),
        scope: address.scope.into(),
        index,
    };
    body.attributes.push(AddressAttribute::Address(address.ip));
    if address.ip.is_ipv4() {
        body.attributes.push(AddressAttribute::Local(address.ip));
    }
    if address.ours {
        body.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(112)));
    }
    if address.secondary {
        body.header.flags |= AddressHeaderFlags::Secondary;
        body.attributes.push(AddressAttribute::Flags(AddressFlags::Secondary));
    }
    body
}

/// A whole message as bytes.
pub(super) fn message(body: RouteNetlinkMessage, flags: u16, seq: u32, port: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = seq;
    header.port_number = port;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(body));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// An acknowledgement, or a refusal, with as much of the request as `NETLINK_CAP_ACK` leaves.
pub(super) fn answer(seq: u32, error: i32, port: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(36u32.to_ne_bytes());
    bytes.extend((libc::NLMSG_ERROR as u16).to_ne_bytes());
    bytes.extend(0u16.to_ne_bytes());
    bytes.extend(seq.to_ne_bytes());
    bytes.extend(port.to_ne_bytes());
    bytes.extend((-error).to_ne_bytes());
    bytes.extend([0; 16]);
    bytes
}

fn local(message: &AddressMessage) -> IpAddr {
    let local = |it: &AddressAttribute| match it {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    };
    message.attributes.iter().find_map(local).expect("IFA_LOCAL")
}

fn same_subnet((a, a_len): (IpAddr, u8), (b, b_len): (IpAddr, u8)) -> bool {
    let (IpAddr::V4(a), IpAddr::V4(b)) = (a, b) else {
        return false;
    };
    let net = |ip: Ipv4Addr| u64::from(u32::from(ip)) >> (32 - u32::from(a_len));
    a_len == b_len && net(a) == net(b)
}
