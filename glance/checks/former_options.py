"""Options of the OpenStack Glance project's releases that this one does not have, and why.

Up to 18.0.0's and 33.0.0's. A program that comes to have one takes it out of here; a test sees to
that.
"""

from __future__ import annotations

_NO_REGISTRY = "there is no registry service, the API works on the database itself; remove it"
_NO_BUS = "this release sends no notifications"
_NO_IMPORT = "this release imports no images"
_NO_KEYS = "this release does not verify image signatures"
_NO_PROFILER = "this release has no profiler"
_NO_DRIVER = "this release has no {} driver: images in such a store cannot be read"
_ONE_POOL = "a connection belongs to its thread, and max_pool_size says how many there are"
_ONE_CONNECTION = "all requests of a process share a connection to each memcached server"
_ONE_DATABASE = "every statement goes to [database]connection"
_OWN_LOG = "it has no effect on this service's log"
_DEBUGGER = "there is no remote debugger; remove it"

_NAMES: tuple[tuple[str, str, str], ...] = (
    # section, options, advice
    ("DEFAULT", "owner_is_tenant", "images belong to projects; remove it"),
    (
        "DEFAULT",
        "allow_additional_image_properties",
        "custom properties are always allowed, and image_property_quota says how many",
    ),
    ("DEFAULT", "data_api db_backend", "there is one way to the database; remove it"),
    ("DEFAULT", "enable_v2_api", "version 2 is all there is; remove it"),
    (
        "DEFAULT",
        "enable_v1_registry enable_v2_registry registry_host registry_port use_user_token "
        "send_identity_headers registry_client_protocol registry_client_key_file "
        "registry_client_cert_file registry_client_ca_file registry_client_insecure "
        "registry_client_timeout",
        _NO_REGISTRY,
    ),
    (
        "DEFAULT",
        "admin_user admin_password admin_tenant_name auth_url auth_region",
        "these were credentials for the registry; the service's own stand in [keystone_authtoken]",
    ),
    (
        "DEFAULT",
        "auth_strategy",
        "[paste_deploy]flavor = keystone is what has callers authenticated",
    ),
    (
        "DEFAULT",
        "location_strategy",
        "of several copies the one in the store of greatest weight is preferred; set weight in the "
        "stores' sections",
    ),
    (
        "DEFAULT",
        "secure_proxy_ssl_header",
        "set [oslo_middleware]enable_proxy_headers_parsing, and have the proxy send "
        "X-Forwarded-Proto",
    ),
    ("DEFAULT", "use_eventlog", "use_syslog or use_journal take its place"),
    (
        "DEFAULT",
        "transport_url control_exchange rpc_response_timeout rpc_ping_enabled "
        "executor_thread_pool_size rpc_thread_pool_size rpc_conn_pool_size conn_pool_min_size "
        "conn_pool_ttl allowed_rpc_exception_modules default_publisher_id disabled_notifications "
        "notification_driver notification_transport_url notification_topics",
        _NO_BUS,
    ),
    (
        "DEFAULT",
        "log_color publish_errors instance_format instance_uuid_format fatal_deprecations",
        _OWN_LOG,
    ),
    ("DEFAULT", "pydev_worker_debug_host pydev_worker_debug_port", _DEBUGGER),
    ("DEFAULT", "digest_algorithm", "signatures name their algorithm; remove it"),
    ("DEFAULT", "node_staging_uri", _NO_IMPORT),
    ("database", "backend", "there is one way to the database; remove it"),
    (
        "database",
        "slave_connection asyncio_connection asyncio_slave_connection synchronous_reader",
        _ONE_DATABASE,
    ),
    ("database", "min_pool_size use_tpool", _ONE_POOL),
    ("database", "mysql_enable_ndb", "MySQL Cluster is not supported"),
    ("database", "sqlite_db", "[database]connection = sqlite:////path says where the file is"),
    (
        "glance_store",
        "store_capabilities_update_min_interval",
        "a store that could not be written is tried again by itself; remove it",
    ),
    ("task", "task_executor eventlet_executor_pool_size", "tasks have one executor; remove it"),
    ("task", "work_dir", _NO_IMPORT),
    ("image_format", "vmdk_allowed_types", _NO_IMPORT),
    ("keystone_authtoken", "signing_dir hash_algorithms", "signed tokens are gone; remove it"),
    (
        "keystone_authtoken",
        "cache",
        "memcached_servers says where tokens are kept beside the process",
    ),
    ("keystone_authtoken", "timeout", "http_connect_timeout takes its place"),
    (
        "keystone_authtoken",
        "memcache_pool_maxsize memcache_pool_conn_get_timeout memcache_use_advanced_pool",
        _ONE_CONNECTION,
    ),
    (
        "keystone_authtoken",
        "memcache_username memcache_password",
        "memcached is protected by TLS with certificates, see memcache_tls_enabled",
    ),
    (
        "oslo_policy",
        "remote_content_type remote_ssl_verify_server_crt remote_ssl_ca_crt_file "
        "remote_ssl_client_crt_file remote_ssl_client_key_file remote_timeout",
        "rules ask no other servers",
    ),
)

#: By section and name: why there is no such option any more, or none yet.
OPTIONS = {(section, name): advice for section, names, advice in _NAMES for name in names.split()}

#: The same for all that stands in a section.
SECTIONS = {
    "oslo_messaging_notifications": _NO_BUS,
    "oslo_messaging_rabbit": _NO_BUS,
    "oslo_messaging_kafka": _NO_BUS,
    "oslo_messaging_amqp": _NO_BUS,
    "rpc_notifier2": _NO_BUS,
    "wsgi": "the service is no WSGI application; remove the section",
    "taskflow_executor": "tasks have one executor; remove the section",
    "image_import_opts": _NO_IMPORT,
    "inject_metadata_properties": _NO_IMPORT,
    "image_conversion": _NO_IMPORT,
    "glance_download_properties": _NO_IMPORT,
    "os_glance_staging_store": _NO_IMPORT,
    "os_glance_tasks_store": _NO_IMPORT,
    "oslo_concurrency": "no lock files are needed; remove the section",
    "oslo_reports": "there are no such reports; remove the section",
    "profiler": _NO_PROFILER,
    "key_manager": _NO_KEYS,
    "barbican": _NO_KEYS,
    "barbican_service_user": _NO_KEYS,
    "vault": _NO_KEYS,
    "store_type_location_strategy": "of several copies the one in the store of greatest weight is "
    "preferred; set weight in the stores' sections",
    "oslo_messaging_zmq": _NO_BUS,
}

_DRIVERS = {
    "swift_": "swift",
    "default_swift_": "swift",
    "rbd_": "rbd",
    "rados_": "rbd",
    "s3_": "s3",
    "vmware_": "vmware",
    "cinder_": "cinder",
    "rootwrap_": "cinder",
    "sheepdog_": "sheepdog",
}


def advice(section: str, name: str, *, of_store: bool) -> str | None:
    """Say why an option is not there, if the project's releases have, or had, it.

    :param section: in the form of :func:`glance.config.files.normal`.
    :param of_store: whether the section holds options of stores.
    """
    found = OPTIONS.get((section, name)) or SECTIONS.get(section)
    if found is None and of_store:
        drivers = (driver for prefix, driver in _DRIVERS.items() if name.startswith(prefix))
        driver = next(drivers, None)
        found = _NO_DRIVER.format(driver) if driver else None
    return found
