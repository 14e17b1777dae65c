//! Keywords of `global_defs`.

use super::Effect::{Moot, NotYet, OutOfScope, Works};
use super::{
    COUNT, DELAY, FILE, FLAG, Kind, MICROS, NAME, Place, SWITCH, Shape, arg, keywords, many, maybe,
};

const BYTES: Shape = Shape::Args(&[arg(Kind::Int(0, 2_147_483_647, "bytes"), "BYTES")]);
const PRIORITY: Shape = Shape::Args(&[arg(Kind::Int(-20, 19, ""), "NICE")]);
const REALTIME: Shape = Shape::Args(&[arg(Kind::Int(1, 99, ""), "PRIORITY")]);
const FIFO: Shape =
    Shape::Args(&[arg(Kind::Word, "PATH"), maybe(Kind::Word, "USER"), maybe(Kind::Word, "GROUP")]);
const ONE_PROCESS: &str = "there is one process";
const GAP: Shape = Shape::Args(&[arg(Kind::Seconds(0, 4_294_967_295), "SECONDS")]);

keywords! {
    TABLE of Global;
    // Identity and mail.
    ROUTER_ID "router_id": NAME, "the host's name", Works,
        "Who this daemon says it is.";
    NOTIFICATION_EMAIL "notification_email": Shape::Lines(Place::Email), "", Works,
        "Who gets mail about changes of state.";
    NOTIFICATION_EMAIL_FROM "notification_email_from": Shape::Args(&[arg(Kind::Word, "ADDRESS")]), "keepalived@HOST", Works,
        "Who that mail comes from.";
    SMTP_SERVER "smtp_server": Shape::Args(&[arg(Kind::Word, "HOST"), maybe(Kind::Int(1, 65535, ""), "PORT")]), "", Works,
        "The host that takes mail, and its port if that isn't 25.";
    SMTP_HELO_NAME "smtp_helo_name": NAME, "the host's name", Works,
        "The name given to the mail server.";
    SMTP_CONNECT_TIMEOUT "smtp_connect_timeout": Shape::Args(&[arg(Kind::Seconds(0, 4_294_000_000), "SECONDS")]), "30", Works,
        "How long the mail server may take to answer.";
    SMTP_ALERT "smtp_alert": SWITCH, "off", Works,
        "Whether virtual routers that don't say otherwise send mail.";
    SMTP_ALERT_VRRP "smtp_alert_vrrp": SWITCH, "as smtp_alert", Works,
        "The same, for virtual routers only.";
    SMTP_ALERT_CHECKER "smtp_alert_checker": SWITCH, "", OutOfScope,
        "The same, for checkers.";
    CHECKER_LOG_ALL_FAILURES "checker_log_all_failures": SWITCH, "", OutOfScope,
        "Logs every failed check of a real server.";
    NO_EMAIL_FAULTS "no_email_faults": FLAG, "", Works,
        "No mail is sent about faults.";
    NO_CHECKER_EMAILS "no_checker_emails": FLAG, "", OutOfScope,
        "No mail is sent about checkers.";
    RS_INIT_NOTIFIES "rs_init_notifies": FLAG, "", OutOfScope,
        "Tells of real servers when they start.";
    // Scripts.
    ENABLE_SCRIPT_SECURITY "enable_script_security": FLAG, "", Works,
        "Refuses to run scripts as root that somebody else could change.";
    SCRIPT_USER "script_user": Shape::Args(&[arg(Kind::Word, "USER"), maybe(Kind::Word, "GROUP")]),
        "keepalived_script if it exists, else root", Works,
        "Who runs scripts that don't say otherwise.";
    USE_SYMLINK_PATHS "use_symlink_paths": FLAG, "", NotYet,
        "Keeps symbolic links in the paths of scripts.";
    SET_SUPPLEMENTARY_GROUPS "set_supplementary_groups": FLAG, "", Works,
        "Gives scripts all groups of their user.";
    STARTUP_SCRIPT "startup_script": Shape::Command, "", Works,
        "Run once before the daemon begins its work.";
    STARTUP_SCRIPT_TIMEOUT "startup_script_timeout": Shape::Args(&[arg(Kind::Int(1, 1000, "seconds"), "SECONDS")]), "10", Works,
        "How long startup_script may take.";
    SHUTDOWN_SCRIPT "shutdown_script": Shape::Command, "", Works,
        "Run once after the daemon has stopped its work.";
    SHUTDOWN_SCRIPT_TIMEOUT "shutdown_script_timeout": Shape::Args(&[arg(Kind::Int(1, 1000, "seconds"), "SECONDS")]), "10", Works,
        "How long shutdown_script may take.";
    NOTIFY_FIFO "notify_fifo": FIFO, "", Works,
        "A named pipe that gets a line for every change of state.";
    NOTIFY_FIFO_SCRIPT "notify_fifo_script": Shape::Command, "", Works,
        "A command that reads notify_fifo; the path is added as its last argument.";
    VRRP_NOTIFY_FIFO "vrrp_notify_fifo": FIFO, "", Works,
        "As notify_fifo, for VRRP only.";
    VRRP_NOTIFY_FIFO_SCRIPT "vrrp_notify_fifo_script": Shape::Command, "", Works,
        "A command that reads vrrp_notify_fifo; the path is added as its last argument.";
    LVS_NOTIFY_FIFO "lvs_notify_fifo": Shape::Anything, "", OutOfScope,
        "As notify_fifo, for IPVS.";
    LVS_NOTIFY_FIFO_SCRIPT "lvs_notify_fifo_script": Shape::Anything, "", OutOfScope,
        "A command that reads lvs_notify_fifo.";
    FIFO_WRITE_VRRP_STATES_ON_RELOAD "fifo_write_vrrp_states_on_reload": FLAG, "", Works,
        "Writes all states to the named pipes after a reload.";
    VIPRD_NOTIFY_TIMEOUT "viprd_notify_timeout": Shape::Args(&[arg(Kind::Seconds(1_000_000, 86_400_000_000), "SECONDS")]), "60", Works,
        "How long a notification may take before it is ended and the next one of its virtual router or group has its turn.";
    VIPRD_NOTIFY_SKIP_OVERTAKEN "viprd_notify_skip_overtaken": FLAG, "", Works,
        "Leaves out notifications of a state that has been left again before their turn came.";
    VRRP_NOTIFY_PRIORITY_CHANGES "vrrp_notify_priority_changes": SWITCH, "off", Works,
        "Also tells the named pipes of changed priorities.";
    // Interfaces and addresses.
    DYNAMIC_INTERFACES "dynamic_interfaces": Shape::Args(&[maybe(Kind::Choice(&["allow_if_changes"]), "allow_if_changes")]), "",
        Moot("interfaces may always come and go"),
        "Accepts interfaces that don't exist yet.";
    DEFAULT_INTERFACE "default_interface": Shape::Args(&[arg(Kind::Interface, "INTERFACE")]), "eth0 for static addresses, none for virtual routers", Works,
        "The interface of static addresses and virtual routers that name none.";
    DISABLE_LOCAL_IGMP "disable_local_igmp": FLAG, "", Works,
        "Stops the kernel from sending IGMP reports for groups of the local link.";
    VMAC_PREFIX "vmac_prefix": Shape::Args(&[arg(Kind::Interface, "PREFIX")]), "vrrp", Works,
        "What the names of interfaces made for use_vmac begin with.";
    VMAC_ADDR_PREFIX "vmac_addr_prefix": Shape::Args(&[arg(Kind::Interface, "PREFIX")]), "as vmac_prefix", Works,
        "The same, for interfaces made for addresses.";
    // Protocol.
    VRRP_VERSION "vrrp_version": Shape::Args(&[arg(Kind::Int(2, 3, ""), "2|3")]), "2", Works,
        "The protocol version of virtual routers that give none; those of IPv6 always have 3.";
    VRRP_MCAST_GROUP4 "vrrp_mcast_group4": Shape::Args(&[arg(Kind::Ipv4, "GROUP")]), "224.0.0.18", Works,
        "Where adverts over IPv4 go.";
    VRRP_MCAST_GROUP6 "vrrp_mcast_group6": Shape::Args(&[arg(Kind::Ipv6, "GROUP")]), "ff02::12", Works,
        "Where adverts over IPv6 go.";
    VRRP_STRICT "vrrp_strict": FLAG, "", Works,
        "Allows nothing that the VRRP RFCs don't have.";
    VRRP_SKIP_CHECK_ADV_ADDR "vrrp_skip_check_adv_addr": FLAG, "", Works,
        "Compares the addresses of an advert with the own ones only when the master changes.";
    VRRP_CHECK_UNICAST_SRC "vrrp_check_unicast_src": FLAG, "", Works,
        "Drops unicast adverts that don't come from a configured peer.";
    VRRP_LOWER_PRIO_NO_ADVERT "vrrp_lower_prio_no_advert": SWITCH, "off", Works,
        "A master doesn't answer adverts of lower priority.";
    VRRP_HIGHER_PRIO_SEND_ADVERT "vrrp_higher_prio_send_advert": SWITCH, "off", Works,
        "A master sends a last advert of its own when it gives way to a higher priority.";
    VRRP_DOWN_TIMER_ADVERTS "vrrp_down_timer_adverts": Shape::Args(&[arg(Kind::Int(1, 100, ""), "COUNT")]), "3", Works,
        "How many adverts must be missed before the master counts as gone.";
    VRRP_OWNER_IGNORE_ADVERTS "vrrp_owner_ignore_adverts": SWITCH, "off", Works,
        "The owner of the addresses takes no notice of others' adverts.";
    V3_CHECKSUM_AS_V2 "v3_checksum_as_v2": SWITCH, "off", Works,
        "The checksum of VRRPv3 over IPv4 covers the message alone, without a pseudo-header.";
    VIPRD_V3_CHECKSUM "viprd_v3_checksum": Shape::Args(&[arg(Kind::Choice(&["auto", "rfc9568", "rfc5798"]), "auto|rfc9568|rfc5798")]), "auto", Works,
        "What the checksum of VRRPv3 over IPv4 covers: the message alone as in RFC 9568, a pseudo-header too as RFC 5798 was read, or what the others do, beginning with RFC 5798. Both are always accepted.";
    LOG_UNKNOWN_VRIDS "log_unknown_vrids": FLAG, "", Works,
        "Logs adverts of virtual routers that aren't configured.";
    // Gratuitous ARP.
    VRRP_GARP_MASTER_DELAY "vrrp_garp_master_delay": DELAY, "5", Works,
        "How long after becoming master the second set of gratuitous ARPs is sent; 0 for no second set.";
    VRRP_GARP_MASTER_REPEAT "vrrp_garp_master_repeat": COUNT, "5", Works,
        "How many gratuitous ARPs are sent for each address in a set.";
    VRRP_GARP_MASTER_REFRESH "vrrp_garp_master_refresh": DELAY, "0", Works,
        "How often gratuitous ARPs are sent while master; 0 for never.";
    VRRP_GARP_MASTER_REFRESH_REPEAT "vrrp_garp_master_refresh_repeat": COUNT, "1", Works,
        "How many gratuitous ARPs are sent for each address in a refresh.";
    VRRP_GARP_LOWER_PRIO_DELAY "vrrp_garp_lower_prio_delay": DELAY, "as vrrp_garp_master_delay", Works,
        "How long after an advert of lower priority the second set of gratuitous ARPs is sent.";
    VRRP_GARP_LOWER_PRIO_REPEAT "vrrp_garp_lower_prio_repeat": Shape::Args(&[arg(Kind::Int(0, 2_147_483_647, ""), "COUNT")]), "as vrrp_garp_master_repeat", Works,
        "How many gratuitous ARPs are sent for each address after an advert of lower priority.";
    VRRP_GARP_INTERVAL "vrrp_garp_interval": GAP, "0", Works,
        "The least time between two gratuitous ARPs on an interface.";
    VRRP_GNA_INTERVAL "vrrp_gna_interval": GAP, "0", Works,
        "The least time between two unsolicited neighbour advertisements on an interface.";
    VRRP_MIN_GARP "vrrp_min_garp": SWITCH, "off", Works,
        "Sends one gratuitous ARP for each address when becoming master, and no second set.";
    VRRP_GARP_EXTRA_IF "vrrp_garp_extra_if" or "vrrp_vmac_garp_intvl": Shape::Args(&[maybe(Kind::Choice(&["all"]), "all"), arg(Kind::Int(0, 86_400, "seconds"), "SECONDS")]), "0", Works,
        "How often gratuitous ARPs are sent on other interfaces that have addresses: those made for use_vmac, or all.";
    // Firewall.
    VRRP_IPTABLES "vrrp_iptables": Shape::Args(&[maybe(Kind::Word, "IN"), maybe(Kind::Word, "OUT")]), "INPUT OUTPUT", Moot("nftables does that"),
        "Uses iptables for no_accept, in these chains.";
    VRRP_IPSETS "vrrp_ipsets": Shape::Args(&[many(Kind::Word, "NAME")]), "keepalived…", Moot("nftables does that"),
        "The names of ipsets to use with iptables.";
    NFTABLES "nftables": Shape::Args(&[maybe(Kind::Word, "TABLE")]), "viprd", Works,
        "The nftables table that drops traffic for addresses with no_accept.";
    NFTABLES_PRIORITY "nftables_priority": Shape::Args(&[arg(Kind::Int(-2_147_483_648, 2_147_483_647, ""), "PRIORITY")]), "-1", Works,
        "The priority of the chains in that table.";
    NFTABLES_COUNTERS "nftables_counters": FLAG, "", Works,
        "Counts what the rules in that table match.";
    NFTABLES_IFINDEX "nftables_ifindex": FLAG, "", Moot("no rule of that table names an interface"),
        "Matches interfaces by index, not by name.";
    NFTABLES_IPVS "nftables_ipvs": Shape::Anything, "", OutOfScope,
        "A table for IPVS.";
    NFTABLES_IPVS_PRIORITY "nftables_ipvs_priority": Shape::Anything, "", OutOfScope,
        "The priority of its chains.";
    NFTABLES_IPVS_START_FWMARK "nftables_ipvs_start_fwmark": Shape::Anything, "", OutOfScope,
        "The first firewall mark for IPVS.";
    // The process.
    VRRP_PRIORITY "vrrp_priority": PRIORITY, "0", Works,
        "The nice value of the daemon.";
    VRRP_NO_SWAP "vrrp_no_swap": FLAG, "", Works,
        "Keeps all its memory from being swapped out.";
    VRRP_RT_PRIORITY "vrrp_rt_priority": REALTIME, "", Works,
        "Runs it in the real-time class SCHED_RR with this priority.";
    VRRP_CPU_AFFINITY "vrrp_cpu_affinity": Shape::Args(&[arg(Kind::Int(0, 8191, ""), "CPU"), many(Kind::Int(0, 8191, ""), "CPU")]), "", Works,
        "Runs it on these CPUs only.";
    VRRP_RLIMIT_RTTIME "vrrp_rlimit_rttime" or "vrrp_rlimit_rtime": Shape::Args(&[arg(Kind::Int(1, 2_147_483_647, "microseconds"), "MICROSECONDS")]), "none", Works,
        "How long it may run in the real-time class without a pause before it says so; 10 seconds more and it is ended.";
    MAX_AUTO_PRIORITY "max_auto_priority": Shape::Args(&[maybe(Kind::Int(-1, 99, ""), "PRIORITY")]), "0", Works,
        "How far its real-time priority is raised when timers are late; 0 for never.";
    MIN_AUTO_PRIORITY_DELAY "min_auto_priority_delay": MICROS, "1000000", Works,
        "How late a timer must be for that.";
    VIPRD_SPIN_US "viprd_spin_us": Shape::Args(&[arg(Kind::Int(0, 10_000, "microseconds"), "MICROSECONDS")]), "0", Works,
        "How long before a deadline the daemon stops sleeping and watches the clock instead: exact to microseconds, at the price of that much CPU for each.";
    CHECKER_PRIORITY "checker_priority": Shape::Anything, "", OutOfScope, "The nice value of the checker.";
    CHECKER_NO_SWAP "checker_no_swap": Shape::Anything, "", OutOfScope, "Keeps the checker from being swapped out.";
    CHECKER_RT_PRIORITY "checker_rt_priority": Shape::Anything, "", OutOfScope, "The checker's real-time priority.";
    CHECKER_CPU_AFFINITY "checker_cpu_affinity": Shape::Anything, "", OutOfScope, "The checker's CPUs.";
    CHECKER_RLIMIT_RTTIME "checker_rlimit_rttime" or "checker_rlimit_rtime": Shape::Anything, "", OutOfScope, "The checker's real-time limit.";
    BFD_PRIORITY "bfd_priority": Shape::Anything, "", Moot(ONE_PROCESS), "The nice value of the BFD process.";
    BFD_NO_SWAP "bfd_no_swap": Shape::Anything, "", Moot(ONE_PROCESS), "Keeps the BFD process from being swapped out.";
    BFD_RT_PRIORITY "bfd_rt_priority": Shape::Anything, "", Moot(ONE_PROCESS), "The BFD process's real-time priority.";
    BFD_CPU_AFFINITY "bfd_cpu_affinity": Shape::Anything, "", Moot(ONE_PROCESS), "The BFD process's CPUs.";
    BFD_RLIMIT_RTTIME "bfd_rlimit_rttime" or "bfd_rlimit_rtime": Shape::Anything, "", Moot(ONE_PROCESS), "The BFD process's real-time limit.";
    PROCESS_NAMES "process_names": FLAG, "", Moot(ONE_PROCESS), "Names the processes after their work.";
    PROCESS_NAME "process_name": NAME, "", Works, "The name that the process shows.";
    VRRP_PROCESS_NAME "vrrp_process_name": NAME, "", Moot(ONE_PROCESS), "The name that the VRRP process shows.";
    CHECKER_PROCESS_NAME "checker_process_name" or "lvs_process_name": Shape::Anything, "", OutOfScope, "The name that the checker shows.";
    BFD_PROCESS_NAME "bfd_process_name": Shape::Anything, "", Moot(ONE_PROCESS), "The name that the BFD process shows.";
    UMASK "umask": Shape::Args(&[arg(Kind::Umask, "NUMBER|BITS")]), "that of the caller", Works,
        "Which permissions files that the daemon makes don't get.";
    RANDOM_SEED "random_seed": Shape::Args(&[arg(Kind::Int(0, 4_294_967_295, ""), "NUMBER")]), "", Moot("`${_RANDOM}` doesn't depend on the clock"),
        "What random numbers begin with.";
    // Sockets.
    VRRP_NETLINK_CMD_RCV_BUFS "vrrp_netlink_cmd_rcv_bufs": BYTES, "4194304", Works,
        "The least receive buffer of the netlink socket that carries requests.";
    VRRP_NETLINK_CMD_RCV_BUFS_FORCE "vrrp_netlink_cmd_rcv_bufs_force": SWITCH, "off",
        Moot("that is done wherever it is allowed"),
        "Lets it exceed the host's limit.";
    VRRP_NETLINK_MONITOR_RCV_BUFS "vrrp_netlink_monitor_rcv_bufs": BYTES, "16777216", Works,
        "The least receive buffer of the netlink socket that hears of changes.";
    VRRP_NETLINK_MONITOR_RCV_BUFS_FORCE "vrrp_netlink_monitor_rcv_bufs_force": SWITCH, "off",
        Moot("that is done wherever it is allowed"),
        "Lets it exceed the host's limit.";
    LVS_NETLINK_CMD_RCV_BUFS "lvs_netlink_cmd_rcv_bufs": Shape::Anything, "", OutOfScope, "The checker's netlink buffer for requests.";
    LVS_NETLINK_CMD_RCV_BUFS_FORCE "lvs_netlink_cmd_rcv_bufs_force": Shape::Anything, "", OutOfScope, "Lets it exceed the host's limit.";
    LVS_NETLINK_MONITOR_RCV_BUFS "lvs_netlink_monitor_rcv_bufs": Shape::Anything, "", OutOfScope, "The checker's netlink buffer for changes.";
    LVS_NETLINK_MONITOR_RCV_BUFS_FORCE "lvs_netlink_monitor_rcv_bufs_force": Shape::Anything, "", OutOfScope, "Lets it exceed the host's limit.";
    PROCESS_MONITOR_RCV_BUFS "process_monitor_rcv_bufs": BYTES, "4194304", Works,
        "The receive buffer of the socket that hears of processes.";
    PROCESS_MONITOR_RCV_BUFS_FORCE "process_monitor_rcv_bufs_force": SWITCH, "off",
        Moot("that is done wherever it is allowed"),
        "Lets it exceed the host's limit.";
    VRRP_RX_BUFS_POLICY "vrrp_rx_bufs_policy": Shape::Args(&[arg(Kind::RxPolicy, "MTU|ADVERT|BYTES")]), "16777216", Works,
        "How large the receive buffers for adverts are at least: by the MTU, by the adverts, or so many bytes.";
    VRRP_RX_BUFS_MULTIPLIER "vrrp_rx_bufs_multiplier": COUNT, "3",
        Moot("the buffers hold many thousand packets"),
        "How many packets of that size they hold.";
    // Start, reload and files.
    VRRP_STARTUP_DELAY "vrrp_startup_delay": Shape::Args(&[arg(Kind::Seconds(0, 4_294_000_000), "SECONDS")]), "0", Works,
        "How long after its start the daemon only listens.";
    VRRP_DELAY_AFTER_BOOT "vrrp_delay_after_boot": Shape::Args(&[arg(Kind::Seconds(0, 4_294_000_000), "SECONDS")]), "0", Works,
        "How long after the host's start the daemon only listens.";
    RELOAD_CHECK_CONFIG "reload_check_config": Shape::Args(&[maybe(Kind::Word, "FILE")]), "", Moot("a wrong file never changes what runs"),
        "Checks a configuration before it is taken over.";
    RELOAD_TIME_FILE "reload_time_file": FILE, "", NotYet,
        "A file that says when to reload.";
    RELOAD_REPEAT "reload_repeat": FLAG, "", NotYet,
        "Keeps that file, so that it counts every day.";
    RELOAD_FILE "reload_file": Shape::Args(&[maybe(Kind::Word, "FILE")]), "", NotYet,
        "A file that exists while the configuration is read.";
    INCLUDE_CHECK "include_check": Shape::Args(&[many(Kind::IncludeCheck, "OPTION")]), "", Works,
        "What is an error when files are included: readable, match, wildcard_match, brace_match, or all if none is given; with + or - before it, in addition or no longer.";
    CONFIG_SAVE_DIR "config_save_dir": FILE, "", NotYet,
        "A directory for copies of the configuration before and after a reload.";
    TMP_CONFIG_DIRECTORY "tmp_config_directory": FILE, "", Moot("the configuration is read once"),
        "Where the configuration is kept while it is read.";
    DATA_USE_INSTANCE "data_use_instance": SWITCH, "off", Works,
        "Puts the instance's name and the namespace into the names of dumped files.";
    STATE_DUMP_FILE "state_dump_file" or "state_file_location": FILE, "/tmp/", Works,
        "Where the state is dumped.";
    STATS_DUMP_FILE "stats_dump_file" or "stats_file_location": FILE, "/tmp/", Works,
        "Where statistics are dumped.";
    JSON_DUMP_FILE "json_dump_file" or "json_file_location": FILE, "/tmp/", Works,
        "Where JSON is dumped.";
    JSON_VERSION "json_version": Shape::Args(&[arg(Kind::Int(1, 2, ""), "1|2")]), "1", Works,
        "The form of that JSON.";
    IPROUTE_USR_DIR "iproute_usr_dir": FILE, "/usr/share/iproute2", Works,
        "Where the names of routing tables and the like are looked up last.";
    IPROUTE_ETC_DIR "iproute_etc_dir": FILE, "/etc/iproute2", Works,
        "Where the administrator's own such names are.";
    // Other ways to look inside.
    SNMP_SOCKET "snmp_socket": Shape::Args(&[arg(Kind::Word, "SOCKET")]), "unix:/var/agentx/master", NotYet,
        "The socket of the SNMP master agent.";
    ENABLE_SNMP_VRRP "enable_snmp_vrrp" or "enable_snmp_keepalived": FLAG, "", NotYet,
        "Serves KEEPALIVED-MIB.";
    ENABLE_SNMP_RFC "enable_snmp_rfc": FLAG, "", NotYet,
        "Serves the MIBs of RFC 2787 and RFC 6527.";
    ENABLE_SNMP_RFCV2 "enable_snmp_rfcv2": FLAG, "", NotYet,
        "Serves the MIB of RFC 2787.";
    ENABLE_SNMP_RFCV3 "enable_snmp_rfcv3": FLAG, "", NotYet,
        "Serves the MIB of RFC 6527.";
    ENABLE_SNMP_CHECKER "enable_snmp_checker": FLAG, "", OutOfScope,
        "Serves the checker's part of KEEPALIVED-MIB.";
    ENABLE_TRAPS "enable_traps": FLAG, "", NotYet,
        "Sends SNMP traps.";
    SNMP_VS_STATS_UPDATE_INTERVAL "snmp_vs_stats_update_interval": Shape::Anything, "", OutOfScope,
        "How often SNMP reads statistics of virtual servers.";
    SNMP_RS_STATS_UPDATE_INTERVAL "snmp_rs_stats_update_interval": Shape::Anything, "", OutOfScope,
        "How often SNMP reads statistics of real servers.";
    ENABLE_DBUS "enable_dbus": FLAG, "", NotYet,
        "Offers the D-Bus service org.keepalived.Vrrp1.";
    DBUS_SERVICE_NAME "dbus_service_name": NAME, "org.keepalived.Vrrp1", NotYet,
        "The name of that service.";
    DBUS_NO_INTERFACE_NAME "dbus_no_interface_name": NAME, "", NotYet,
        "What stands for the interface in its object paths if there is none.";
    // IPVS.
    LVS_TIMEOUTS "lvs_timeouts": Shape::Anything, "", OutOfScope, "Timeouts of IPVS connections.";
    LVS_FLUSH "lvs_flush": Shape::Anything, "", OutOfScope, "Empties IPVS at start.";
    LVS_FLUSH_ON_STOP "lvs_flush_on_stop" or "lvs_flush_onstop": Shape::Anything, "", OutOfScope, "Empties IPVS at stop.";
    LVS_SYNC_DAEMON "lvs_sync_daemon": Shape::Anything, "", OutOfScope, "Synchronises IPVS connections.";
}
