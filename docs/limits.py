# -*- test-case-name: cocained.test.test_docs_examples -*-
"""
The limits that are no keys of a file, and what is said of each.
"""

from __future__ import annotations

from typing import NamedTuple


class Limit(NamedTuple):
    """A constant, and what to say of it."""

    dotted: str
    unit: str
    what: str
    beyond: str


#: Their values are the code's.
LIMITS = (
    Limit(
        "cocained.rpc.outline.VALUE_LIMIT",
        "values",
        "in one frame, claimed or present; no fewer than one read can hold",
        "the connection is closed",
    ),
    Limit(
        "cocained.rpc.codec.ARRAY_LIMIT",
        "elements",
        "of one array or map: the decoder takes memory for as many as are claimed",
        "the connection is closed",
    ),
    Limit(
        "cocained.rpc.outline.DEPTH_LIMIT",
        "levels",
        "of nesting: the decoder's own stack",
        "the connection is closed",
    ),
    Limit(
        "cocained.rpc.headers.HEADER_LIMIT",
        "headers",
        "in one frame; clients send up to ten",
        "the connection is closed",
    ),
    Limit(
        "cocained.rpc.headers.HEADER_BYTES_LIMIT",
        "bytes",
        "of all names and values of one frame's headers, table entries included",
        "the connection is closed",
    ),
    Limit(
        "cocained.rpc.headers.TABLE_SIZE",
        "bytes",
        "of a connection's dynamic header table, 32 more counted for each entry",
        "the oldest entries are forgotten, as the dialect demands",
    ),
    Limit(
        "cocained.rpc.session.CHANNEL_LIMIT",
        "channels",
        "that one connection may keep open for input",
        "error ``[20991, 2]`` on the new channel",
    ),
    Limit(
        "cocained.rpc.dispatch.CALL_LIMIT",
        "calls",
        "of one connection that a service works on at a time",
        "the connection is not read until one is answered",
    ),
    Limit(
        "cocained.rpc.graph.GRAPH_DEPTH",
        "levels",
        "of a graph that is published",
        "error ``[7, 2]``",
    ),
    Limit(
        "cocained.rpc.graph.GRAPH_SIZE",
        "entries",
        "of a graph that is published",
        "error ``[7, 2]``",
    ),
    Limit(
        "cocained.rpc.session.EARLY_FLUSH",
        "bytes",
        "of output that a connection collects during one turn of the reactor",
        "it is written at once",
    ),
    Limit(
        "cocained.rpc.wire.WINDOW",
        "bytes",
        "given to a transport at once: who takes so many within "
        "``limits.write-stall`` is slow, who does not has stopped",
        "the rest waits, and who sent it is held",
    ),
    Limit(
        "cocained.rpc.pressure.ALLOWANCE",
        "bytes",
        "that each source may send to a peer that does not read",
        "the source is held",
    ),
    Limit(
        "cocained.apps.burdens.LOOK",
        "seconds",
        "that a worker's connection may be stuck",
        "it gets no new events as long as there may be another worker",
    ),
    Limit(
        "cocained.apps.burdens.PATIENCE",
        "seconds",
        "that a client may take nothing while others wait for the same worker",
        "error ``[20991, 2]`` on its streams at that worker",
    ),
    Limit(
        "cocained.rpc.wire.CLOSE_TIMEOUT",
        "seconds",
        "for a peer to take the last bytes of a connection that we close",
        "the connection is reset",
    ),
    Limit(
        "cocained.apps.invocation.BUFFER_HOLD",
        "bytes",
        "of chunks of an event without a worker, after which its client is not read "
        "(unless another event of that client is at a worker)",
        "the client waits",
    ),
    Limit(
        "cocained.apps.invocation.BUFFER_LIMIT",
        "bytes",
        "of chunks that one event may collect before a worker has it",
        "error ``[20991, 2]``",
    ),
    Limit(
        "cocained.gateways.health.PROBES",
        "probes",
        "of copies by a gateway at a time",
        "the others wait for their turn",
    ),
    Limit(
        "cocained.gateways.vicodyn.relay.KEEP_LIMIT",
        "bytes",
        "of chunks that ``vicodyn`` keeps of one request until its answer begins",
        "it is not given to another node",
    ),
    Limit(
        "cocained.gateways.vicodyn.virtual.KEEP_TOTAL",
        "bytes",
        "that it keeps of all requests",
        "what comes then is not given to another node",
    ),
    Limit(
        "cocained.gateways.vicodyn.peer.PING_LIMIT",
        "seconds",
        "that a node may give it no sign of life",
        "the connection is ended, and so are its requests",
    ),
    Limit(
        "cocained.gateways.vicodyn.peer.CONNECT_LIMIT",
        "seconds",
        "for it to connect to a node, over all of its addresses",
        "it is tried again later",
    ),
    Limit(
        "cocained.apps.crashlog.LINE_LIMIT",
        "bytes",
        "of one line of a worker's output",
        "the rest becomes the next line",
    ),
    Limit(
        "cocained.apps.scribe.LOG_RATE",
        "lines",
        "a second that ``log-output`` lets one worker write to the node's log",
        "the rest of that second is not logged, and the log says so",
    ),
    Limit(
        "cocained.apps.blobs.MAX_DOCUMENT",
        "bytes",
        "of a manifest, profile or runlist",
        "the document is refused",
    ),
    Limit(
        "cocained.apps.documents.MAX_RUNLIST",
        "apps",
        "in one runlist",
        "the runlist is refused",
    ),
    Limit(
        "cocained.services.node.NAME_LIMIT",
        "bytes",
        "of an app's name: it becomes a file name with the process id behind it",
        "``start_app`` fails with ``[12, 22]``",
    ),
    Limit(
        "cocained.door.PATH_LIMIT",
        "bytes",
        "of the path of a UNIX socket, of an app's workers or of a service: the"
        " operating system's own",
        "``start_app`` fails; set a shorter ``paths.runtime``",
    ),
    Limit(
        "cocained.services.continuum.POINT_LIMIT",
        "points",
        "of one routing group, 256 for each member",
        "the group is refused",
    ),
    Limit(
        "cocained.clusters.sightings.NODE_LIMIT",
        "nodes",
        "that the ``multicast`` cluster remembers",
        "further ones are not linked, and the log and the report say so",
    ),
    Limit(
        "cocained.clusters.announcement.ENDPOINT_LIMIT",
        "addresses",
        "in the announcement of one node",
        "the announcement is ignored, counted, and reported",
    ),
    Limit(
        "cocained.links.links.LINK_LIMIT",
        "nodes",
        "that a node listens to: those of a large cluster, and those that were "
        "started anew twice for a while",
        "further ones are not linked, and the log says so",
    ),
    Limit(
        "cocained.links.announcements.REMOTE_LIMIT",
        "nodes",
        "that listen to a node",
        "error ``[20991, 2]`` on the ``connect`` channel",
    ),
    Limit(
        "cocained.links.link.SERVICE_LIMIT",
        "services",
        "of one other node",
        "all of that node is forgotten, and its link tries again",
    ),
    Limit(
        "cocained.links.dialer.FRAME_LIMIT",
        "bytes",
        "of one announcement of another node, or ``limits.frame`` if that is less",
        "likewise",
    ),
    Limit(
        "cocained.links.dialer.ARRAY_LIMIT",
        "elements",
        "of one array or map in it",
        "likewise",
    ),
    Limit(
        "cocained.links.tidings.ENDPOINT_LIMIT",
        "addresses",
        "of one service or one locator",
        "likewise; to a publisher, error ``[7, 2]``",
    ),
    Limit(
        "cocained.links.tidings.NAME_LIMIT",
        "bytes",
        "of the name of a service, and of a node's uuid",
        "likewise",
    ),
    Limit(
        "cocained.links.tidings.EXTRA_DEPTH",
        "levels",
        "of the extra values of another node",
        "likewise",
    ),
    Limit(
        "cocained.services.locator.EXTRA_LIMIT",
        "bytes",
        "of ``extra_param``, packed: it travels in the headers of each announcement",
        "the node does not start",
    ),
    Limit(
        "cocained.links.tidings.GROUPS_LIMIT",
        "routing groups",
        "that are named to other nodes in one message",
        "others read all groups anew",
    ),
    Limit(
        "cocained.links.stream.WAITING_LIMIT",
        "services",
        "that change while another node does not read",
        "its connection is closed",
    ),
    Limit(
        "cocained.clusters.predefine.NODE_LIMIT",
        "nodes",
        "in the argument ``nodes`` of ``predefine``",
        "the node does not start",
    ),
    Limit(
        "cocained.storages.names.MAX_NAME",
        "bytes",
        "of a key, a tag, or a part of a collection: the file system's own",
        "error ``[12, 36]``",
    ),
    Limit(
        "cocained.storages.names.MAX_TAGS",
        "tags",
        "in one request: each costs a directory and an ``fsync``",
        "error ``[12, 7]``",
    ),
    Limit(
        "cocained.storages.names.MAX_FOUND",
        "keys",
        "under one tag of a ``find``: more would be an answer of 100 MB",
        "error ``[12, 75]``",
    ),
    Limit(
        "cocained.storages.changes.MAX_WAITING_BYTES",
        "bytes",
        "of blobs that wait to be written; one write of any size fits alone",
        "error ``[12, 11]``: try again later",
    ),
    Limit(
        "cocained.storages.remote.MAX_COLLECTION",
        "bytes",
        "of a collection on a server, with all its parts",
        "error ``[12, 36]``",
    ),
    Limit(
        "cocained.storages.s3.MAX_KEY",
        "bytes",
        "of the quoted name of an object of ``s3``, or of its tag and key: S3's own",
        "error ``[12, 36]``",
    ),
    Limit(
        "cocained.storages.mongodb.MAX_NAMESPACE",
        "bytes",
        "of database and collection of ``mongodb``: MongoDB's own",
        "error ``[12, 36]``",
    ),
    Limit(
        "cocained.storages.reach.LONGEST_WAIT",
        "seconds",
        "between two attempts to reach a storage's server that went away",
        "the next attempt is made",
    ),
    Limit(
        "cocained.lane.MAX_WAITING",
        "calls",
        "that wait for one storage: a third of a second of work, or a disk that hangs",
        "error ``[12, 11]``: try again later",
    ),
    Limit(
        "cocained.unicorns.values.VALUE_LIMIT",
        "bytes",
        "of a unicorn's value: ZooKeeper has little more for a whole request",
        "error ``[11, 3]``",
    ),
    Limit(
        "cocained.unicorns.values.NESTING_LIMIT",
        "levels",
        "of nesting of a unicorn's value",
        "error ``[11, 3]``",
    ),
    Limit(
        "cocained.unicorns.paths.PATH_LIMIT",
        "bytes",
        "of a unicorn's path",
        "error ``[11, 6]``",
    ),
    Limit(
        "cocained.services.conversations.SCOPE_LIMIT",
        "scopes",
        "that one connection may have open at the unicorn service: operations,"
        " subscriptions, locks",
        "error ``[20991, 2]``",
    ),
    Limit(
        "cocained.unicorns.ensemble.PENDING_LIMIT",
        "operations",
        "that wait for ZooKeeper at a time",
        "error ``[12, 11]``: try again later",
    ),
    Limit(
        "cocained.unicorns.local.PENDING_LIMIT",
        "operations",
        "that wait for a unicorn's disk at a time",
        "error ``[12, 11]``: try again later",
    ),
    Limit(
        "cocained.unicorns.tree.TOTAL_LIMIT",
        "bytes",
        "of all nodes of a unicorn of type ``files`` or ``memory``, 512 more counted"
        " for each; ``max-total`` sets it",
        "error ``[12, 11]``",
    ),
    Limit(
        "cocained.clusters.members.MEMBER_LIMIT",
        "nodes",
        "that are taken from the list in a unicorn",
        "the rest is left out, and logged",
    ),
    Limit(
        "cocained.gateways.kernel.gateway.COPIES_LIMIT",
        "nodes",
        "that carry one service, for a gateway that lets the kernel forward",
        "further ones are not used, and its report says so",
    ),
    Limit(
        "cocained.gateways.kernel.gateway.IDLE_LIMIT",
        "services",
        "without any node that such a gateway keeps a port for",
        "the one that has been unused for longest gives up its own",
    ),
    Limit(
        "cocained.gateways.kernel.table.LEAVING_LIMIT",
        "destinations",
        "of one service that are draining",
        "the one that has been draining for longest is removed",
    ),
    Limit(
        "cocained.gateways.kernel.program.TIME_LIMIT",
        "seconds",
        "that one run of ``ipvsadm`` or ``nft`` may take",
        "it is killed, and tried again with back-off",
    ),
    Limit(
        "cocained.gateways.kernel.program.OUTPUT_LIMIT",
        "bytes",
        "that one run of ``ipvsadm`` or ``nft`` may write",
        "it is killed, and tried again with back-off",
    ),
    Limit(
        "cocained.loggers.writer.MAX_PENDING",
        "bytes",
        "of log lines that wait for a slow destination",
        "lines are dropped, and their number is logged",
    ),
    Limit(
        "cocained.loggers.format.MAX_LINE",
        "characters",
        "of one log line",
        "the line is cut, and says so",
    ),
    Limit(
        "cocained.config.source.MAX_BYTES",
        "bytes",
        "of a configuration file",
        "the node does not start",
    ),
    Limit(
        "cocained.links.announcements.SHARE_LIMIT",
        "nodes",
        "that listen over one connection; each has one of its own",
        "error ``[20991, 2]``",
    ),
    Limit(
        "cocained.links.offers.PUBLISHED_LIMIT",
        "services",
        "that clients publish through one node",
        "error ``[20991, 2]``",
    ),
    Limit(
        "cocained.links.offers.OFFER_LIMIT",
        "bytes",
        "of endpoints and graph of a published service",
        "error ``[7, 2]``",
    ),
    Limit(
        "cocained.services.routers.ROUTER_LIMIT",
        "routers",
        "that follow the rings of one node",
        "error ``[20991, 2]``",
    ),
    Limit(
        "cocained.services.admin.WATCH_LIMIT",
        "clients",
        "that watch how a node drains",
        "error ``[20991, 2]``",
    ),
    Limit(
        "cocained.gateways.vicodyn.gateway.VIRTUAL_LIMIT",
        "apps",
        "that ``vicodyn`` relays; each takes a port",
        "further ones are found through the gateway that it wraps, and its report"
        " says so",
    ),
)
