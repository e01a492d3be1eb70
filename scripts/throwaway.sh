# shellcheck shell=bash
# A throw-away server with image_gen, and the simulator in place of its providers: sourced by demo/run and scripts/directus, after
# scripts/common.sh, from the top of the repository. Both end with the script, unless it says otherwise.

pg_config=$(scripts/pg-config)
bin=$("$pg_config" --bindir)
((EUID != 0)) || id postgres >/dev/null 2>&1 || die "PostgreSQL does not run as root, and there is no user postgres."

# Short, as a socket's path may not be longer than about 100 characters.
home=$(mktemp -d /tmp/image_gen_demo.XXXXXX)
simulator=
clean_up() {
  trap - EXIT
  [[ ! -e $home/data/postmaster.pid ]] || as_server_user "$bin/pg_ctl" stop -s -m fast -t 600 -D "$home/data" || true
  [[ -z $simulator ]] || kill "$simulator" 2>/dev/null || true
  rm -rf "$home"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# start_simulator SECONDS: the providers, so many seconds a picture; everything they draw, refuse and bill is made up. Sets url.
start_simulator() {
  local binary
  binary=$(cargo build --release -p image_gen_simulator --message-format=json-render-diagnostics |
    sed -nE 's/.*"executable":"([^"]+)".*/\1/p')
  # The log is there before the process is: what starts in the background opens its files at some later time.
  : >"$home/simulator.log"
  # A group of its own, so that a Ctrl-C reaches this script, which ends the server first.
  set -m
  "$binary" --listen 127.0.0.1:0 --render-seconds "$1" >>"$home/simulator.log" 2>&1 </dev/null &
  simulator=$!
  set +m
  # Bounded by the life of the process and not by time: a busy machine may take long.
  until url=$(sed -n 's/^listening on //p' "$home/simulator.log") && [[ -n $url ]]; do
    kill -0 "$simulator" 2>/dev/null || die "the simulator has ended:" "$(cat "$home/simulator.log")"
    sleep 0.1
  done
}

# start_server DATABASE [LINE...]: a server with these lines in its configuration, reached through a socket in its own folder, and the
# extension in a database, whose bfl is the simulator. PGPORT is the caller's. Sets PGHOST and PGDATABASE.
start_server() {
  local database=$1 began
  shift
  ((EUID != 0)) || chown postgres "$home"
  as_server_user "$bin/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$home/initdb.log" ||
    die "initdb failed:" "$(cat "$home/initdb.log")"
  as_server_user tee -a "$home/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$home'
shared_preload_libraries = 'image_gen'
image_gen.allowed_provider_hosts = '${url#*://}'
image_gen.keep_bytes = all
$(printf '%s\n' "$@")
CONF
  export PGHOST=$home PGPORT PGDATABASE=$database
  unset PGUSER PGPASSWORD PGSERVICE PGOPTIONS
  # Keys come from the server's environment. The simulator takes any.
  as_server_user env BFL_API_KEY=demo "$bin/pg_ctl" start -s -w -t 600 -D "$home/data" -l "$home/server.log" -o "-p $PGPORT" ||
    die "the server does not start:" "$(cat "$home/server.log")"
  psql -U postgres -d postgres -c "CREATE DATABASE $database"
  psql -U postgres -c 'CREATE EXTENSION image_gen' -c "UPDATE image_gen.providers SET base_url = '$url/bfl' WHERE id = 'bfl'"
  began=$SECONDS
  until [[ $(psql -U postgres -At -c 'SELECT running FROM image_gen.worker_status') == t ]]; do
    ((SECONDS - began < 300)) || die "the worker does not start:" "$(tail -n 20 "$home/server.log")"
    sleep 0.1
  done
}

psql() { "$bin/psql" -X -q -v ON_ERROR_STOP=1 -P pager=off "$@"; }

# What the simulator has counted, as JSON. No curl, as it may not be there.
ledger_totals() {
  exec 3<>"/dev/tcp/127.0.0.1/${url##*:}"
  printf 'GET /_sim/ledger/totals HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
  tr -d '\r' <&3 | sed '1,/^$/d'
  exec 3>&-
}
