# -*- test-case-name: cocained.test.test_coverage_of_reference -*-
"""
What is promised, and the tests that show it.

* Probes: recorded conversations with the original (reference-behaviour.md),
  by the names that they have there, and what its notes say beside them.
* Rows of the list of features (legacy-and-seeds.md); a test cites those that it
  shows in its docstring, as in "(row 99)" or "(rows 99, 124)".

A test is named by its module, its class and itself.  What is not built yet is in
:data:`UNBUILT`, by the plugin that will bring it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Unbuilt(NamedTuple):
    """
    Why a promise has no test.

    :param part: what of ours will keep it.
    :param plugin: category and type of a plugin that is there once it is built.
    """

    part: str
    plugin: tuple[str, str] | None = None


PROXY = Unbuilt("HTTP proxy")
THREADS = Unbuilt("workers in threads", ("isolate", "thread"))

UNBUILT: Mapping[str, Unbuilt] = {
    "section 5.3": Unbuilt("logging::v2", ("service", "logging::v2")),
    "section 7.5": PROXY,
    "section 11.3": Unbuilt("isolate daemon", ("isolate", "external")),
    "section 13.1": Unbuilt("authentication"),
    "section 13.2": Unbuilt("authorization"),
    "section 13.3": Unbuilt("metrics", ("service", "metrics")),
    "section 13.5": Unbuilt("services beside the unicorn", ("service", "cache")),
    # What is behind the front is shown by test_routing.BalancerTests.
    "row 34": PROXY,
    "row 127": PROXY,
    "row 144": THREADS,
}

#: Rows of which each has a test: workers and clients, pools, streams, clusters,
#: releases.
ROWS = frozenset(
    (
        *(11, 34, 52, 53, 54, 57, *range(98, 129), 134, *range(143, 148), 155, 156),
        *(187, *range(256, 265)),
    )
)

#: The probes, in their order.
PROBES = """
L1 L2 L3 L4 L5 L5b L6 L7 L8 L8b L9 L10 L10b L11 L11b L12 L12b L12c L12d L13 L14
L15 L15b L16 L17 L17b L18 L18b
F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 F12b F13 F14 F15 F15b F16 F17 F18 F18b F19
F20 F21 F21b F21c F21d F22 F23 F24 F25 F26 F27 F28 F29 F30 F30b F31 F32 F33 F34
RG0 RG1 RG2 RG3 RG4 RG5
B-remote B-local B-unknown B-locator B-logging B-cluster B-external B-duplicate
B-native B-disconnect B-disconnected
S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S12b S12c S13 S14 S14b S14c S15 S16 S17 S18
S19 S20 S21 S22 S23 S24 S25
G1 G2 G3 G4 G5 G6 G7 G7b G8 G9 G10
N0 N1 N2 N2b N3 N4 N5 N6 N7 N8 N9 N11 N12 N13 N14a N14 N14b N15 N16 N17 N18 N19 N20
C1 C2 C3
A0 A1 A2 A3 A3b A4 A8 A9 A11 A11b A12 A13 A14 A14b A15 A16 A17 A18 A19 A20 A21
X1 X2 X3 X4 X6
W-afterchoke W-twochoke W-errlegacy W-badargs W-intchunk W-badtype W-newch
W-badframe W-crash W-term
Q0 Q2 Q2b Q2c Q3c Q3d
""".split()

#: What the notes beside the probes say, in our words.
NOTES = """
trio-in-every-answer old-strings-only half-close failed-refresh-is-silent
router-taken-over ring-and-seeds unseeded-by-weight tags-add-up stale-links-dropped
found-sorted emit-finishes-channel verbosity info-keys info-flags own-info
broken-stays-listed pause-answers pause-ends-requests connection-outlives-app
control-population control-returns-to-automatic runlist-without-workers
pool-limit-0 stream-arguments client-disconnected first-headers-only
worker-headers-stay trace-both-ways megabyte command-line heartbeat-answered
channels-from-2 cold-order no-heartbeats back-off start-up-death crashlog-layout
idle-timeout queue-full default-profile small-queue queue-limit-0 growth
gone-client-is-served slot-until-both-closed request-timeout profile-deadline
published-framework shutdown
""".split()

#: By module and test: the probes and notes that it plays.
PLAYED: Mapping[str, Mapping[str, str]] = {
    "test_reference_locator": {
        "ResolveTests.test_l1_storage": "L1",
        "ResolveTests.test_l2_locator": "L2",
        "ResolveTests.test_l3_logging": "L3",
        "ResolveTests.test_n0_node": "N0",
        "ResolveTests.test_l4_unknown": "L4",
        "ResolveTests.test_l5_seed": "L5",
        "ResolveTests.test_l5b_nil_seed": "L5b",
        "ResolveTests.test_l6_no_arguments": "L6",
        "ResolveTests.test_l7_wrong_type": "L7",
        "ResolveTests.test_l8_too_many": "L8 L8b",
        "MethodTests.test_l9_connect": "L9",
        "MethodTests.test_l10_refresh": "L10 L10b",
        "MethodTests.test_l11_cluster": "L11 L11b",
        "MethodTests.test_l12_publish": "L12",
        "MethodTests.test_l12b_native": "L12b",
        "MethodTests.test_l12c_refused": "L12c L12d",
        "MethodTests.test_l13_routing": "L13",
        "MethodTests.test_l14_uuid": "L14",
        "MethodTests.test_l15_unknown_method": "L15 L15b",
        "MethodTests.test_l16_ping": "L16",
        "MethodTests.test_l17_revoke": "L17 L17b",
        "MethodTests.test_l18_other_controls": "L18 L18b",
    },
    "test_reference_groups": {
        "RoutingGroupTests.test_rg0_unknown": "RG0",
        "RoutingGroupTests.test_rg1_ring": "RG1 ring-and-seeds",
        "RoutingGroupTests.test_seeds": "ring-and-seeds",
        "RoutingGroupTests.test_without_seed": "unseeded-by-weight",
        "RoutingGroupTests.test_rg2_inactive": "RG2",
        "RoutingGroupTests.test_rg3_zero_weight": "RG3",
        "RoutingGroupTests.test_rg4_garbage": "RG4",
        "RoutingGroupTests.test_failed_refresh": "RG3 RG4 failed-refresh-is-silent",
        "RoutingGroupTests.test_rg5_removed": "RG5",
        "RoutingGroupTests.test_same_router": "router-taken-over",
        "GatewayTests.test_b_local": "B-local",
        "GatewayTests.test_b_restricted": "B-unknown B-locator B-logging",
        "GatewayTests.test_b_publish": "B-external",
        "GatewayTests.test_b_duplicate": "B-duplicate",
        "GatewayTests.test_b_native": "B-native",
        "GatewayTests.test_b_disconnected": "B-disconnect B-disconnected",
    },
    "test_reference_cluster": {
        "ListeningTests.test_b_remote": "B-remote",
        "ListeningTests.test_b_cluster": "B-cluster",
    },
    "test_reference_frames": {
        "ChannelTests.test_f1_zero": "F1",
        "ChannelTests.test_f2_finished": "F2",
        "ChannelTests.test_f3_lower": "F3",
        "ChannelTests.test_f4_gaps": "F4",
        "ChannelTests.test_encodings": "F25 F26 F27 F32 F33 F34",
        "ChannelTests.test_f24_five_elements": "F24",
        "ChannelTests.test_f28_one_packet": "F28",
        "ChannelTests.test_f29_split": "F29",
        "ChannelTests.test_f30_half_close": "F30 half-close",
        "ChannelTests.test_f30b_at_once": "F30b half-close",
        "ChannelTests.test_old_strings": "old-strings-only",
        "BrokenFrameTests.test_no_frames": (
            "F5 F6 F7 F8 F9 F10 F11 F12 F12b F13 F14 F15 F15b"
        ),
        "BrokenFrameTests.test_f31_behind_a_good_one": "F31",
        "BrokenFrameTests.test_broken_headers": "F17 F19 F20 F23",
        "HeaderTests.test_f16_accepted": "F16 F18 F18b",
        "HeaderTests.test_f21_trace": "F21 F21b",
        "HeaderTests.test_f21c_wrong_width": "F21c",
        "HeaderTests.test_f21d_incomplete": "F21d",
        "HeaderTests.test_f22_stored": "F22",
        "HeaderTests.test_untraced": "trio-in-every-answer",
    },
    "test_reference_storage": {
        "StorageTests.test_s1_missing": "S1",
        "StorageTests.test_s2_round_trip": "S2",
        "StorageTests.test_s3_no_tags": "S3 S4",
        "StorageTests.test_s5_tags_add_up": "S5 tags-add-up",
        "StorageTests.test_s6_remove_missing": "S6",
        "StorageTests.test_s7_arguments": "S7 S8 S9 S10",
        "StorageTests.test_s11_directories": "S11 S12 S12b S12c",
        "StorageTests.test_s13_traversal": "S13 S14c",
        "StorageTests.test_s14_slashes": "S14 S14b",
        "StorageTests.test_s15_values": "S15 S16 S17",
        "StorageTests.test_s18_tag_is_a_key": "S18 S19 S20",
        "StorageTests.test_s21_order": "S21",
        "StorageTests.test_s22_unknown_method": "S22",
        "StorageTests.test_s23_twice": "S23",
        "StorageTests.test_s24_authorization": "S24",
        "StorageTests.test_s25_megabytes": "S25",
        "StorageTests.test_layout": "stale-links-dropped",
        "StorageTests.test_found_in_order": "found-sorted",
    },
    "test_reference_logging": {
        "LoggingTests.test_g1_emit": "G1 G2 G3 G4 emit-finishes-channel",
        "LoggingTests.test_g5_wrong": "G5 G6 G10",
        "LoggingTests.test_g7_levels": "G7 G7b",
        "LoggingTests.test_g8_set_verbosity": "G8 G9",
        "LoggingTests.test_below_verbosity": "verbosity",
    },
    "test_reference_node": {
        "StartTests.test_n3_start": "N1 N3",
        "StartTests.test_n4_missing": "N4 N5",
        "StartTests.test_n6_manifests": "N6 N7",
        "StartTests.test_n8_no_archive": "N8 broken-stays-listed",
        "StartTests.test_n8_use": "broken-stays-listed",
        "StartTests.test_n9_no_tar": "N9",
        "StartTests.test_n11_isolate": "N11",
        "StartTests.test_no_pool": "pool-limit-0",
        "StartTests.test_n12_arguments": "N12 N19 N20",
        "StartTests.test_n13_not_running": "N2 N13 N17",
        "StartTests.test_n15_control_unknown": "N15",
        "RunningTests.test_n14_pause": "N14a N14 N14b pause-answers",
        "RunningTests.test_paused_under_way": "pause-ends-requests",
        "RunningTests.test_paused_connection": "connection-outlives-app",
        "RunningTests.test_n18_enqueue": "N18",
        "RunlistTests.test_runlist": "runlist-without-workers",
        "RestartTests.test_stubborn": "pause-answers",
    },
    "test_reference_control": {
        "ControlTests.test_n16_control": "N16 control-population",
        "ControlTests.test_n16_automatic": "control-returns-to-automatic",
        "ControlTests.test_control_disconnected": "control-returns-to-automatic",
        "ControlTests.test_c1_app_control": "C1 C2 C3",
    },
    "test_reference_info": {
        "ReportTests.test_n2_report": "N2b info-keys",
        "ReportTests.test_n2_numbers": "info-keys",
        "ReportTests.test_n2_under_way": "info-keys",
        "ReportTests.test_n2b_flags": "N2b info-flags",
        "ReportTests.test_n2b_documents": "N2b info-flags",
    },
    "test_reference_apps": {
        "CallTests.test_a0_ping": "A0 A20",
        "CallTests.test_a1_echo": "A1",
        "CallTests.test_a2_reuse": "A2 A13",
        "CallTests.test_a3_errors": "A3 A3b",
        "CallTests.test_a4_chunks": "A4",
        "CallTests.test_a15_live_channel": "A15",
        "CallTests.test_a16_interleaved": "A16",
        "CallTests.test_a17_trace": "A17 trace-both-ways",
        "CallTests.test_a17_headers": "A17",
        "CallTests.test_a17_what_the_worker_gets": (
            "A17 trace-both-ways first-headers-only"
        ),
        "CallTests.test_a18_worker_headers": "A18 worker-headers-stay",
        "CallTests.test_a21_payloads": "A21 X3",
        "CallTests.test_x4_arguments": "X4",
        "CallTests.test_info": "own-info",
        "CallTests.test_megabyte": "megabyte",
        "CallTests.test_cold_order": "cold-order",
        "WorkerTests.test_command_line": "command-line",
    },
    "test_reference_refusals": {
        "RefusalTests.test_a8_arguments": "A8 A9 A19",
        "RefusalTests.test_a11_client_error": "A11 X1 X2",
        "RefusalTests.test_a11b_legacy_error": "A11b stream-arguments",
        "RefusalTests.test_a12_after_close": "A12 A13",
        "RefusalTests.test_a14_unknown_type": "A14 stream-arguments",
        "RefusalTests.test_a14b_control_type": "A14b",
        "RefusalTests.test_disconnected": "client-disconnected",
        "RefusalTests.test_x6_revoke": "X6",
    },
    "test_reference_workers": {
        "MisbehaviourTests.test_afterchoke": "W-afterchoke",
        "MisbehaviourTests.test_twochoke": "W-twochoke",
        "MisbehaviourTests.test_errlegacy": "W-errlegacy",
        "MisbehaviourTests.test_badargs": "W-badargs",
        "MisbehaviourTests.test_intchunk": "W-intchunk",
        "MisbehaviourTests.test_badtype": "W-badtype",
        "MisbehaviourTests.test_newch": "W-newch",
        "EndTests.test_badframe": "W-badframe",
        "EndTests.test_crash": "W-crash",
        "EndTests.test_term": "W-term",
        "HeartbeatTests.test_no_heartbeats": "no-heartbeats",
        "IdleTests.test_idle": "idle-timeout",
    },
    "test_reference_queue": {
        "SlotTests.test_q0_slot": "Q0 slot-until-both-closed",
        "SlotTests.test_q0_disconnected": "slot-until-both-closed",
        "SlotTests.test_q2_expired": "Q2 request-timeout",
        "SlotTests.test_q2b_in_time": "Q2b",
        "SlotTests.test_q2c_at_work": "Q2c request-timeout",
        "SlotTests.test_q3_poison": "Q3c Q3d",
        "SlotTests.test_gone_clients": "gone-client-is-served",
        "ProfileTests.test_profile": "profile-deadline",
        "FullQueueTests.test_warm": "queue-full default-profile",
        "FullQueueTests.test_cold": "queue-full",
        "SmallQueueTests.test_small": "small-queue",
        "NoQueueTests.test_no_queue": "queue-limit-0",
    },
    "test_rows_workers": {
        "StartTests.test_row_111_delivery": "channels-from-2 heartbeat-answered",
        "CrashlogTests.test_layout": "crashlog-layout",
    },
    "test_rows_pools": {
        "GrowingTests.test_row_124_threshold": "growth",
        "BackOffTests.test_back_off": "back-off",
    },
    "test_failures": {"WorkerTests.test_exits": "start-up-death"},
    "test_published": {
        "FrameworkMixin.test_streaming": "published-framework",
        "FrameworkMixin.test_errors": "published-framework",
    },
    "test_rows_clients": {"ChangeTests.test_row_121_node_restarted": "shutdown"},
}
