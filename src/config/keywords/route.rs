//! Keywords of the lines of routes and policy rules.

use super::Effect::{NotYet, Works};
use super::{FLAG, Kind, Shape, arg, keywords, maybe};

const WORD: Shape = Shape::Args(&[arg(Kind::Word, "NAME|NUMBER")]);
const NUMBER: Shape = Shape::Args(&[arg(Kind::Int(0, 4_294_967_295, ""), "NUMBER")]);
/// A metric of a route; `lock` keeps the kernel from changing it.
const METRIC: Shape = Shape::Args(&[
    maybe(Kind::Choice(&["lock"]), "lock"),
    arg(Kind::Int(0, 4_294_967_295, ""), "NUMBER"),
]);
const TIME: Shape =
    Shape::Args(&[maybe(Kind::Choice(&["lock"]), "lock"), arg(Kind::RouteTime, "TIME")]);
const DEV: Shape = Shape::Args(&[arg(Kind::Interface, "INTERFACE")]);
const NET: Shape = Shape::Args(&[arg(Kind::Net, "ADDRESS[/LENGTH]")]);
const GATEWAY: Shape = Shape::Args(&[
    maybe(Kind::Choice(&["inet", "inet6"]), "inet|inet6"),
    arg(Kind::Prefix, "ADDRESS"),
]);
const RANGE: Shape = Shape::Args(&[arg(Kind::Range, "FIRST[-LAST]")]);

/// Keywords of a route.
pub mod routes {
    use super::super::Key;
    use super::*;

    /// Keywords that say what kind of route a line is; they come first when it is printed.
    pub const TYPES: [Key; 9] =
        [UNICAST, LOCAL, BROADCAST, MULTICAST, ANYCAST, BLACKHOLE, UNREACHABLE, PROHIBIT, THROW];

    keywords! {
        TABLE of Route;
        UNICAST "unicast": FLAG, "", Works, "An ordinary route, which is the default.";
        LOCAL "local": FLAG, "", Works, "A route to the host itself.";
        BROADCAST "broadcast": FLAG, "", Works, "A route to a broadcast address.";
        MULTICAST "multicast": FLAG, "", Works, "A route to a multicast group.";
        ANYCAST "anycast": FLAG, "", Works, "A route to an anycast address.";
        BLACKHOLE "blackhole": FLAG, "", Works, "Packets are dropped in silence.";
        UNREACHABLE "unreachable": FLAG, "", Works, "Packets are refused as unreachable.";
        PROHIBIT "prohibit": FLAG, "", Works, "Packets are refused as prohibited.";
        THROW "throw": FLAG, "", Works, "The next policy rule is asked.";
        TO "to": NET, "", Works, "The destination; the word may be left out.";
        SRC "src" or "from": Shape::Args(&[arg(Kind::Prefix, "ADDRESS[/LENGTH]")]), "", Works, "The source address of packets that the host itself sends, or with a length the sources it holds for.";
        VIA "via" or "gw" or "gateway": GATEWAY, "", Works, "The next hop.";
        OR "or": Shape::Args(&[arg(Kind::Ip, "ADDRESS")]), "", Works, "A second next hop.";
        DEV_NAME "dev" or "oif": DEV, "", Works, "The interface it uses.";
        TABLE_NAME "table": WORD, "main", Works, "The routing table it belongs to.";
        METRIC_VALUE "metric" or "priority" or "preference": NUMBER, "", Works, "Its metric: the least one wins.";
        SCOPE "scope": WORD, "global", Works, "How far its destination is.";
        PROTOCOL "protocol" or "proto": WORD, "keepalived", Works, "Who it says has made it.";
        TOS "tos" or "dsfield": WORD, "", Works, "The type of service it holds for.";
        ONLINK "onlink": FLAG, "", Works, "The next hop is on the link, whatever its address.";
        NO_TRACK "no_track": FLAG, "", Works, "Nobody minds if somebody else removes it.";
        TRACK_GROUP "track_group": Shape::Args(&[arg(Kind::Word, "NAME")]), "", Works, "The track_group whose virtual routers fail if this static route is gone for good.";
        VRF "vrf": DEV, "", Works, "The VRF whose routing table it belongs to, whatever table says.";
        INET "inet": FLAG, "", Works, "It is a route of IPv4.";
        INET6 "inet6": FLAG, "", Works, "It is a route of IPv6.";
        NEXTHOP "nexthop": FLAG, "", Works, "Begins one of several next hops; via, dev, weight and onlink after it belong to that.";
        WEIGHT "weight": Shape::Args(&[arg(Kind::Int(1, 256, ""), "WEIGHT")]), "1", Works, "The share of a next hop among several.";
        REALMS "realms" or "realm": WORD, "", Works, "Its realms, as TO or FROM/TO.";
        MTU "mtu": METRIC, "", Works, "The greatest packet.";
        ADVMSS "advmss": METRIC, "", Works, "The segment size told to TCP peers.";
        HOPLIMIT "hoplimit": METRIC, "", Works, "The hop limit of packets.";
        RTT "rtt": TIME, "", Works, "The first guess of the round trip time.";
        RTTVAR "rttvar": TIME, "", Works, "The first guess of its variance.";
        RTO_MIN "rto_min": TIME, "", Works, "The least time before TCP repeats.";
        REORDERING "reordering": METRIC, "", Works, "How much reordering TCP expects.";
        WINDOW "window": METRIC, "", Works, "The greatest TCP window.";
        CWND "cwnd": METRIC, "", Works, "The limit of the congestion window.";
        SSTHRESH "ssthresh": METRIC, "", Works, "The first slow-start threshold.";
        INITCWND "initcwnd": METRIC, "", Works, "The first congestion window.";
        INITRWND "initrwnd": METRIC, "", Works, "The first receive window.";
        QUICKACK "quickack": Shape::Args(&[arg(Kind::Int(0, 1, ""), "0|1")]), "", Works, "Whether TCP acknowledges at once.";
        CONGCTL "congctl": Shape::Args(&[maybe(Kind::Choice(&["lock"]), "lock"), arg(Kind::Word, "NAME")]), "", Works, "The congestion control.";
        FEATURES "features": Shape::Args(&[arg(Kind::Choice(&["ecn"]), "ecn")]), "", Works, "Features of TCP to use.";
        PREF "pref": Shape::Args(&[arg(Kind::Choice(&["low", "medium", "high"]), "low|medium|high")]), "medium", Works, "The preference of an IPv6 router (RFC 4191).";
        TTL_PROPAGATE "ttl-propagate": Shape::Args(&[arg(Kind::Choice(&["enabled", "disabled"]), "enabled|disabled")]), "", Works, "Whether the TTL is copied between MPLS and IP.";
        FASTOPEN_NO_COOKIE "fastopen_no_cookie": Shape::Args(&[arg(Kind::Int(0, 1, ""), "0|1")]), "", Works, "Whether TCP fast open needs no cookie.";
        EXPIRES "expires": NUMBER, "", Works, "After how many seconds it is gone (IPv6).";
        AS "as": Shape::Args(&[maybe(Kind::Choice(&["to"]), "to"), arg(Kind::Word, "LABEL")]), "", NotYet, "The label that packets leave with (MPLS).";
        ENCAP "encap": Shape::Args(&[arg(Kind::Choice(&["ip", "ip6", "mpls", "ila"]), "ip|ip6|mpls|ila"), maybe(Kind::Labels, "LABELS")]), "", Works, "How packets are wrapped; what belongs to that follows.";
        ENCAP_ID "id": NUMBER, "", Works, "The tunnel's number (encap).";
        ENCAP_DST "dst": Shape::Args(&[arg(Kind::Ip, "ADDRESS")]), "", Works, "The tunnel's other end (encap).";
        ENCAP_TTL "ttl": Shape::Args(&[arg(Kind::Int(0, 255, ""), "TTL")]), "", Works, "The TTL outside (encap).";
        ENCAP_TC "tc": NUMBER, "", Works, "The traffic class outside (encap).";
        ENCAP_FLAGS "flags": Shape::Args(&[arg(Kind::Word, "FLAGS")]), "", NotYet, "Flags of the tunnel (encap).";
        ADD "add": FLAG, "", Works, "Adds it only if there is none like it.";
        PREPEND "prepend": FLAG, "", Works, "Puts it before those like it, which is the default.";
        APPEND "append": FLAG, "", Works, "Puts it after those like it.";
    }
}

/// Keywords of a policy rule.
pub mod rules {
    use super::*;
    keywords! {
        TABLE of Rule;
        FROM "from": NET, "", Works, "The source that it holds for.";
        TO "to": NET, "", Works, "The destination that it holds for.";
        TABLE_NAME "table" or "lookup": WORD, "", Works, "The routing table that is used.";
        PREFERENCE "preference" or "priority" or "order": NUMBER, "", Works, "Its place among the rules.";
        IIF "iif" or "dev": DEV, "", Works, "The interface that packets come from.";
        OIF "oif": DEV, "", Works, "The interface that the sender chose.";
        FWMARK "fwmark": Shape::Args(&[arg(Kind::Mark, "MARK[/MASK]")]), "", Works, "The firewall mark that it holds for.";
        NOT "not": FLAG, "", Works, "It holds for everything else.";
        NO_TRACK "no_track": FLAG, "", Works, "Nobody minds if somebody else removes it.";
        INET "inet": FLAG, "", Works, "It is a rule of IPv4.";
        INET6 "inet6": FLAG, "", Works, "It is a rule of IPv6.";
        TOS "tos" or "dsfield": WORD, "", Works, "The type of service that it holds for.";
        REALMS "realms" or "realm": WORD, "", Works, "The realms that it sets.";
        SUPPRESS_PREFIXLENGTH "suppress_prefixlength" or "sup_pl": Shape::Args(&[arg(Kind::Int(0, 128, ""), "LENGTH")]), "", Works, "Ignores routes with prefixes no longer than this.";
        SUPPRESS_IFGROUP "suppress_ifgroup" or "sup_group": WORD, "", Works, "Ignores routes through interfaces of this group.";
        TUNNEL_ID "tunnel-id" or "tunnel_id": NUMBER, "", Works, "The tunnel that it holds for.";
        UIDRANGE "uidrange": RANGE, "", Works, "The users that it holds for.";
        L3MDEV "l3mdev": FLAG, "", Works, "Uses the table of the VRF.";
        PROTOCOL "protocol" or "proto": WORD, "keepalived", Works, "Who it says has made it.";
        IPPROTO "ipproto" or "ip_proto": WORD, "", Works, "The IP protocol that it holds for.";
        SPORT "sport": RANGE, "", Works, "The source ports that it holds for.";
        DPORT "dport": RANGE, "", Works, "The destination ports that it holds for.";
        GOTO "goto": NUMBER, "", Works, "The rule to go on with.";
        NOP "nop": FLAG, "", Works, "Nothing is done.";
        TYPE "type": Shape::Args(&[arg(Kind::Choice(&["unicast", "blackhole", "unreachable", "prohibit", "nat", "goto", "nop"]), "TYPE")]), "", Works, "What is done with packets.";
        BLACKHOLE "blackhole": FLAG, "", Works, "Packets are dropped in silence.";
        UNREACHABLE "unreachable": FLAG, "", Works, "Packets are refused as unreachable.";
        PROHIBIT "prohibit": FLAG, "", Works, "Packets are refused as prohibited.";
        TRACK_GROUP "track_group": Shape::Args(&[arg(Kind::Word, "NAME")]), "", Works, "The track_group whose virtual routers fail if this static rule is gone for good.";
    }
}
