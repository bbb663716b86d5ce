# -*- test-case-name: cocained.test.test_coverage_of_reference -*-
"""
The sections of protocol.md, and the tests that show what each says.

Sections on other generations of the original are shown by how their peers are
met here.  Not listed are those that describe no behaviour: sources (0),
documents that disagree (15), what is not verified (16); 17 sums others up.
"""

from __future__ import annotations

from collections.abc import Mapping

_LOCATOR = "test_reference_locator."
_GROUPS = "test_reference_groups."
_CLUSTER = "test_reference_cluster."
_FRAMES = "test_reference_frames."
_STORAGE = "test_reference_storage."
_LOGGING = "test_reference_logging."
_NODE = "test_reference_node."
_INFO = "test_reference_info."
_CONTROL = "test_reference_control."
_APPS = "test_reference_apps."
_REFUSALS = "test_reference_refusals."
_WORKERS = "test_reference_workers."
_QUEUE = "test_reference_queue."
_LIFE = "test_rows_workers."
_POOLS = "test_rows_pools."
_WORKED = "test_rpc_frames."

#: A client of 0.11 sends the number of its method first, and that is 0.
_OLDER_CLIENT = (_FRAMES + "ChannelTests.test_f1_zero",)

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "1.1": _OLDER_CLIENT,
    "1.2": (
        _FRAMES + "ChannelTests.test_encodings",
        _FRAMES + "ChannelTests.test_old_strings",
        _FRAMES + "ChannelTests.test_f24_five_elements",
        _FRAMES + "BrokenFrameTests.test_no_frames",
        "test_failures_wire.HostileTests.test_nesting",
    ),
    "1.3": (
        _FRAMES + "ChannelTests.test_f2_finished",
        _FRAMES + "ChannelTests.test_f3_lower",
        _FRAMES + "ChannelTests.test_f4_gaps",
        _LOCATOR + "ResolveTests.test_l6_no_arguments",
        _LOCATOR + "MethodTests.test_l15_unknown_method",
        _APPS + "CallTests.test_a15_live_channel",
        _REFUSALS + "RefusalTests.test_disconnected",
    ),
    "1.4": (
        _LOCATOR + "MethodTests.test_l16_ping",
        _LOCATOR + "MethodTests.test_l17_revoke",
        _LOCATOR + "MethodTests.test_l18_other_controls",
    ),
    "1.5": (
        _FRAMES + "HeaderTests.test_f21_trace",
        _FRAMES + "HeaderTests.test_f22_stored",
        _FRAMES + "HeaderTests.test_contradicting_trace",
        _FRAMES + "HeaderTests.test_trace_bit",
        _FRAMES + "HeaderTests.test_untraced",
        _APPS + "CallTests.test_a17_what_the_worker_gets",
        _APPS + "CallTests.test_untraced",
    ),
    "2.1": (
        _LOCATOR + "ResolveTests.test_l1_storage",
        _LOCATOR + "ResolveTests.test_l2_locator",
        _LOCATOR + "ResolveTests.test_l3_logging",
        _APPS + "CallTests.test_graph",
    ),
    "2.2": (
        _APPS + "CallTests.test_a3_errors",
        _STORAGE + "StorageTests.test_s1_missing",
        _NODE + "StartTests.test_n13_not_running",
        "test_errors.NumberTests.test_categories",
        "test_errors.NumberTests.test_worker_codes",
        "test_errors.TreeTests.test_triples",
    ),
    "2.3": (
        "test_published.FrameworkMixin.test_errors",
        "test_options.ExceptionTests.test_codes",
    ),
    "3.1": (
        _LOCATOR + "ResolveTests.test_l2_locator",
        _LOCATOR + "ResolveTests.test_l4_unknown",
        _GROUPS + "RoutingGroupTests.test_seeds",
        _LOCATOR + "MethodTests.test_l11_cluster",
        _LOCATOR + "MethodTests.test_l14_uuid",
    ),
    "3.2": (
        _CLUSTER + "AnnouncingTests.test_snapshot",
        _CLUSTER + "AnnouncingTests.test_changes",
        _CLUSTER + "AnnouncingTests.test_published",
        "test_services_locator_cluster.ClusterTests.test_restricted",
        "test_links_offers.PublishedTests.test_local_comes_second",
    ),
    "3.3": (
        _LOCATOR + "MethodTests.test_l9_connect",
        _CLUSTER + "AnnouncingTests.test_replaced",
        _CLUSTER + "AnnouncingTests.test_close",
        _CLUSTER + "ExtraTests.test_extra",
        _CLUSTER + "ListeningTests.test_b_remote",
        _CLUSTER + "ListeningTests.test_killed",
        _CLUSTER + "SilentTests.test_frozen",
        _CLUSTER + "SilentTests.test_never_answers",
        "test_links_announcements.FrameTests.test_snapshot",
        "test_links_announcements.FrameTests.test_removed",
        "test_links_announcements.FrameTests.test_close",
        "test_links_dialer.DialTests.test_frame",
        "test_services_neighbourhood.HostileTests.test_other_name",
        "test_services_neighbourhood.HostileTests.test_error",
    ),
    "3.4": (
        _CLUSTER + "AnnouncingTests.test_published",
        _LOCATOR + "MethodTests.test_l12_publish",
        _LOCATOR + "MethodTests.test_l12c_refused",
        _GROUPS + "GatewayTests.test_b_publish",
        _GROUPS + "GatewayTests.test_b_disconnected",
    ),
    "3.5": (
        _GROUPS + "RoutingGroupTests.test_rg1_ring",
        _GROUPS + "RoutingGroupTests.test_seeds",
        _GROUPS + "RoutingGroupTests.test_failed_refresh",
        _GROUPS + "RoutingGroupTests.test_same_router",
        _CLUSTER + "GroupTests.test_refreshed",
        "test_services_continuum.VectorTests.test_seeds_lead_to_points",
        "test_services_continuum_moves.CanaryTests.test_no_more_moved_than_needed",
        "test_routing.CanaryTests.test_canary",
    ),
    "3.6": (
        _GROUPS + "GatewayTests.test_b_native",
        _GROUPS + "GatewayTests.test_b_duplicate",
        _GROUPS + "GatewayTests.test_b_local",
        "test_gateways_choice.LotteryTests.test_even",
        "test_gateways_adhoc.AdhocTests.test_duplicate",
        "test_gateways_vicodyn.ResolveTests.test_app",
        "test_gateways_vicodyn.ResolveTests.test_other_services",
        "test_gateways_vicodyn_info.InfoTests.test_info",
        "test_vicodyn.VicodynTests.test_shares",
    ),
    "3.7": (
        _CLUSTER + "ListeningTests.test_b_cluster",
        _CLUSTER + "SilentTests.test_never_answers",
        "test_clusters_predefine.NamedTests.test_linked",
        "test_clusters_predefine.UnnamedTests.test_started_anew",
        "test_cluster_zookeeper.MeetingTests.test_as_the_original_has_it",
        "test_cluster_zookeeper.MeetingTests.test_killed",
        "test_clusters_multicast.SpeakingTests.test_first",
        "test_clusters_multicast.HearingTests.test_link",
        "test_clusters_multicast.HearingTests.test_gone",
        "test_clusters_multicast.HearingTests.test_bad_packets",
        "test_clusters_announcement.WireTests.test_bytes",
        "test_cluster.MulticastTests.test_bad_packets",
    ),
    "3.8": _OLDER_CLIENT,
    "4": (
        _STORAGE + "StorageTests.test_s2_round_trip",
        _STORAGE + "StorageTests.test_s3_no_tags",
        _STORAGE + "StorageTests.test_s21_order",
    ),
    "4.1": (
        _STORAGE + "StorageTests.test_layout",
        _STORAGE + "StorageTests.test_found_in_order",
        _STORAGE + "StorageTests.test_s5_tags_add_up",
        _STORAGE + "StorageTests.test_s13_traversal",
        _STORAGE + "StorageTests.test_s18_tag_is_a_key",
    ),
    "5.1": (
        _LOGGING + "LoggingTests.test_g1_emit",
        _LOGGING + "LoggingTests.test_g5_wrong",
        _LOGGING + "LoggingTests.test_g7_levels",
        _LOGGING + "LoggingTests.test_g8_set_verbosity",
        _LOGGING + "LoggingTests.test_below_verbosity",
    ),
    "5.2": _OLDER_CLIENT,
    "6.1": (
        _NODE + "StartTests.test_n3_start",
        _NODE + "StartTests.test_n4_missing",
        _NODE + "StartTests.test_n8_no_archive",
        _NODE + "StartTests.test_n8_use",
        _NODE + "StartTests.test_n13_not_running",
        _NODE + "RunningTests.test_n14_pause",
        _CONTROL + "ControlTests.test_n16_automatic",
        _NODE + "RunningTests.test_n18_enqueue",
        _NODE + "RunlistTests.test_runlist",
    ),
    "6.2": (
        _INFO + "ReportTests.test_n2_report",
        _INFO + "ReportTests.test_n2_numbers",
        _INFO + "ReportTests.test_n2_under_way",
        _INFO + "ReportTests.test_n2b_flags",
        _INFO + "ReportTests.test_n2b_documents",
    ),
    "7": (_APPS + "CallTests.test_graph", _APPS + "CallTests.test_info"),
    "7.1": (
        _APPS + "CallTests.test_a1_echo",
        _APPS + "CallTests.test_cold_order",
        _REFUSALS + "RefusalTests.test_a11_client_error",
        _QUEUE + "NoQueueTests.test_no_queue",
        _QUEUE + "ProfileTests.test_profile",
        _QUEUE + "SlotTests.test_gone_clients",
        _NODE + "RunningTests.test_paused_connection",
    ),
    "7.2": (_APPS + "CallTests.test_tag",),
    "7.3": _OLDER_CLIENT,
    "7.4": (
        _CONTROL + "ControlTests.test_c1_app_control",
        _CONTROL + "ControlTests.test_control_disconnected",
    ),
    "8.1": (
        _APPS + "WorkerTests.test_command_line",
        _LIFE + "StartTests.test_row_102_arguments",
        _LIFE + "ProtocolTests.test_arguments",
    ),
    "8.2": (_WORKERS + "StrangerTests.test_row_107_strangers",),
    "8.3": (
        _LIFE + "FirstHeartbeatTests.test_row_110_first_heartbeat",
        _LIFE + "ProtocolTests.test_streams",
        _LIFE + "ProtocolTests.test_heartbeats",
        _LIFE + "ProtocolTests.test_terminate",
    ),
    "8.4": (
        _LIFE + "StartTests.test_row_111_delivery",
        _LIFE + "HandshakeTests.test_row_109_handshake",
        _LIFE + "TerminateTests.test_row_114_pause",
    ),
    "8.5": (
        _LIFE + "SilentTests.test_row_108_startup_timeout",
        _LIFE + "FarewellTests.test_row_112_all_is_well",
        _LIFE + "IdleTests.test_row_114_idle",
        _LIFE + "ShrinkingTests.test_row_114_sealed",
        _LIFE + "DeafTests.test_row_115_terminate_timeout",
        _WORKERS + "HeartbeatTests.test_no_heartbeats",
    ),
    "8.6": (
        _WORKERS + "StrangerTests.test_row_107_strangers",
        _WORKERS + "MisbehaviourTests.test_control",
        _WORKERS + "MisbehaviourTests.test_afterchoke",
        _WORKERS + "MisbehaviourTests.test_newch",
        _WORKERS + "EndTests.test_term",
    ),
    "8.7": (
        _LIFE + "StartTests.test_row_102_arguments",
        _LIFE + "ProtocolTests.test_arguments",
    ),
    "9": (
        "test_apps_library.LibraryTests.test_hit",
        "test_apps_library.LibraryTests.test_miss",
    ),
    "9.1": (
        _NODE + "StartTests.test_n6_manifests",
        _LIFE + "StartTests.test_row_101_absolute",
        "test_apps_documents.ManifestTests.test_environment_of_the_wrong_kind",
    ),
    "9.2": (
        _NODE + "StartTests.test_no_pool",
        _CONTROL + "PublishTests.test_publish_on",
        _QUEUE + "ProfileTests.test_profile",
        _POOLS + "ConfigurationTests.test_row_146_each_its_own",
        "test_apps_documents.ProfileTests.test_defaults",
        "test_apps_documents.ProfileTests.test_old_names",
    ),
    "10.1": (_LIFE + "StartTests.test_row_99_first_worker",),
    "10.2": (_CONTROL + "ControlTests.test_n16_control",),
    "10.3": (
        _POOLS + "GrowingTests.test_row_124_threshold",
        _POOLS + "GrowingTests.test_row_143_limit",
        _POOLS + "BackOffTests.test_back_off",
        _QUEUE + "FullQueueTests.test_warm",
        _QUEUE + "NoQueueTests.test_no_queue",
    ),
    "10.4": (
        _CONTROL + "ControlTests.test_n16_control",
        _CONTROL + "ControlTests.test_n16_automatic",
    ),
    "11.1": (_NODE + "StartTests.test_n11_isolate",),
    "11.2": (
        _APPS + "WorkerTests.test_command_line",
        _LIFE + "LingeringTests.test_row_116_sigterm",
        "test_failures.DocumentTests.test_truncated",
        "test_failures.DocumentTests.test_escaping",
        "test_isolates_child.InheritanceTests.test_descriptors",
    ),
    "11.4": (
        "test_isolates_docker.LifeTests.test_life",
        "test_isolates_docker.KeyTests.test_original",
        "test_isolates_docker.ImageTests.test_pulled",
    ),
    "11.5": (
        _LIFE + "CrashlogTests.test_layout",
        _WORKERS + "EndTests.test_crash",
        "test_failures.WorkerTests.test_flood",
    ),
    "12.1": ("test_config_original.Version2Tests.test_network",),
    "12.2": ("test_config_original.Version3Tests.test_logging",),
    "12.3": ("test_config_original.Version4Tests.test_network",),
    "12.4": (
        "test_node.StartTests.test_order",
        "test_node.StopTests.test_order",
        "test_tap.CommandTests.test_port_in_use",
        "test_rows_clients.ChangeTests.test_row_121_node_restarted",
    ),
    "12.5": (
        "test_tap.OptionTests.test_configuration",
        "test_tap.CommandTests.test_bad_configuration",
    ),
    "12.6": ("test_tap.CommandTests.test_life",),
    "12.7": (
        _LIFE + "CrashlogTests.test_layout",
        _NODE + "RunlistTests.test_runlist",
        "test_published_tool.AppTests.test_upload",
        "test_published_tool.DocumentTests.test_runlists",
        "test_published_tool.GroupTests.test_groups",
    ),
    "13.4": (_FRAMES + "HeaderTests.test_f21_trace",),
    "14": (
        *_OLDER_CLIENT,
        _FRAMES + "HeaderTests.test_untraced",
        _LIFE + "ProtocolTests.test_streams",
    ),
    "18.1": (_WORKED + "WorkedFrameTests.test_from_us",),
    "18.2": (_WORKED + "WorkedFrameTests.test_to_us",),
    "18.3": (
        _WORKED + "WorkedFrameTests.test_to_us",
        _WORKED + "SpeakingTests.test_stream",
    ),
    "18.4": (_WORKED + "SpeakingTests.test_errors",),
    "18.5": (_WORKED + "WorkedFrameTests.test_to_us",),
    "18.6": (_WORKED + "SpeakingTests.test_terminate",),
    "18.7": (_WORKED + "ResolveTests.test_connect",),
    "18.8": (_WORKED + "WorkedFrameTests.test_from_us",),
    "18.9": (_WORKED + "WorkedFrameTests.test_from_us",),
    "18.10": (
        _WORKED + "ProbeTests.test_18_10_closed",
        _WORKED + "ProbeTests.test_18_10_refused",
        _WORKED + "ProbeTests.test_18_10_sequence",
    ),
}
