# Runs the examples of docs/: the receivers in every language whose interpreter is here,
# the TypeScript with the packages it imports, the SQL in psql.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use File::Copy qw(copy);
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub have
{
	my ($program) = @_;
	return IPC::Run::run([ 'sh', '-c', 'command -v "$0"', $program ], '>', \my $out, '2>', \my $err);
}

my $dir = PostgreSQL::Test::Utils::tempdir('examples');
my %file = (Featul::code_blocks('receivers.md'), Featul::code_blocks('application.md'));
append_to_file("$dir/$_", $file{$_}) foreach grep { /\./ } keys %file;

my $featul = Featul->new;
my $secret = $featul->sql_as('olivia', "SELECT integration_secret('acme')");
$featul->post(title => 'Dark mode');
my ($request) = $featul->wait_for_requests(1, host => 'hook.example.com');
my $new_secret = $featul->sql_as('olivia', "SELECT integration_rotate_secret('acme')");
$featul->post(title => 'Dark mode', slug => 'rotated');
my $rotated = ($featul->wait_for_requests(2, host => 'hook.example.com'))[-1];

# ---------------------------------------------------------------------------
# docs/receivers.md: each gets a genuine request, the same again, a changed one; of a request
# that old and new secret have signed, either is enough
# ---------------------------------------------------------------------------

sub send_to
{
	my ($port, $request, $body) = @_;
	my %headers = map { $_ => $request->{headers}{$_} }
	  qw(content-type webhook-id webhook-timestamp webhook-signature);

	$body //= $request->{body};
	utf8::encode($body);
	return HTTP::Tiny->new(timeout => 20)
	  ->post("http://127.0.0.1:$port/", { headers => \%headers, content => $body })->{status};
}

sub check_receiver
{
	my ($language, @command) = @_;

	check_receiver_with("$language, the old secret", $secret, 204, @command);
	check_receiver_with("$language, the new secret", $new_secret, 401, @command);
	return;
}

# check_receiver_with(name, secret, what it answers to what the old one alone has signed, command)
sub check_receiver_with
{
	my ($name, $with, $to_old, @command) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $output = '';

	s/PORT/$port/ foreach @command;
	local $ENV{WEBHOOK_SECRET} = $with;
	local $ENV{PORT} = $port;
	local $ENV{TMPDIR} = PostgreSQL::Test::Utils::tempdir_short();
	my $program = IPC::Run::start(\@command, '<', \undef, '>', \$output, '2>', \$output);
	Featul::wait_for(
		sub {
			$program->pump_nb;
			die "$name: $output" unless $program->pumpable;
			IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
		},
		"the receiver, $name");

	is(send_to($port, $rotated), 204, "$name: a genuine request");
	is(send_to($port, $rotated), 204, "$name: the same again");
	is(send_to($port, $rotated, $rotated->{body} =~ s/Dark/Bark/r), 401, "$name: a changed one");
	is(send_to($port, $request), $to_old, "$name: one from before the rotation");
	my $events = 1 + ($to_old == 204);
	Featul::wait_for(sub { $program->pump_nb; (() = $output =~ /Dark mode/g) >= $events }, "$name to print the events");
	$program->kill_kill;
	is(scalar(() = $output =~ /post\.created Dark mode/g), $events, "$name: each handled once");
	return;
}

check_receiver('Python', 'python3', "$dir/receiver.py");

SKIP:
{
	skip 'no node here', 1 unless have('node');
	check_receiver('Node', 'node', "$dir/receiver.mjs");
}
SKIP:
{
	skip 'no php here', 1 unless have('php');
	check_receiver('PHP', 'php', '-S', '127.0.0.1:PORT', "$dir/receiver.php");
}
SKIP:
{
	skip 'no ruby with webrick here', 1 unless IPC::Run::run([qw(ruby -rwebrick -ropenssl -e 1)], '>', \my $out, '2>', \my $err);
	check_receiver('Ruby', 'ruby', "$dir/receiver.rb");
}
SKIP:
{
	skip 'no go here', 1 unless have('go');
	local $ENV{GOCACHE} = "$dir/go-cache";
	local $ENV{GOPATH} = "$dir/go-path";
	local $ENV{GO111MODULE} = 'off';
	system_or_bail('go', 'build', '-o', "$dir/receiver-go", "$dir/receiver.go");
	check_receiver('Go', "$dir/receiver-go");
}

# ---------------------------------------------------------------------------
# With npm's packages: the official library, docs/application.md's TypeScript
# ---------------------------------------------------------------------------

# node MODULE-CODE: its output and, if it failed, the error
sub run_node
{
	my ($code) = @_;
	my $script = "$dir/run-" . ++our $scripts . '.mjs';

	append_to_file($script, $code);
	IPC::Run::run([ 'node', $script ], '>', \my $out, '2>', \my $err);
	chomp($out);
	return $out . ($err =~ /Error/ ? $err : '');
}

SKIP:
{
	skip 'no node and npm here', 1 unless have('node') && have('npm');
	my $packages = Featul::install_packages();
	skip 'npm has no packages for us', 1 unless $packages;
	symlink("$packages/node_modules", "$dir/node_modules") or die "node_modules: $!";
	copy("$packages/package.json", $dir);

	# the official library, before and after a rotation
	sub verify_with_library
	{
		my ($request, $secret) = @_;
		my $json = JSON::PP->new->allow_nonref->ascii;
		return run_node("import { verify } from './verify.mjs'\n"
			  . 'console.log(verify('
			  . join(', ', map { $json->encode($_) } $secret, $request->{body}, $request->{headers})
			  . ').event)');
	}
	is(verify_with_library($request, $secret), 'post.created', 'standardwebhooks verifies');
	like(verify_with_library({ %$request, body => '{}' }, $secret), qr/WebhookVerificationError/,
		'... and refuses another body');

	is(verify_with_library($rotated, $new_secret), 'post.created', 'after a rotation: with the new secret');
	is(verify_with_library($rotated, $secret), 'post.created', '... and with the old one');

	# TypeScript: type-checked, then run as the application would
	# Prisma's client is made here without the engine that makes migrations, which is no package
	local $ENV{PRISMA_SCHEMA_ENGINE_BINARY} = '/bin/true';
	local $ENV{CHECKPOINT_DISABLE} = 1;
	my $said;
	ok( IPC::Run::run(
			[ "$dir/node_modules/.bin/prisma", 'generate', '--schema', "$dir/schema.prisma" ],
			'<', \undef, '>', \$said, '2>&1', init => sub { chdir $dir }),
		"Prisma's client is made")
	  or diag($said);
	my $compiled = IPC::Run::run(
		[
			"$dir/node_modules/.bin/tsc", '--strict', '--skipLibCheck', '--target', 'es2022',
			'--module', 'nodenext', '--outDir', $dir, map { "$dir/$_.ts" } qw(errors with-pg with-drizzle with-neon with-postgres with-kysely with-prisma)
		],
		'>', \my $errors);
	is($errors, '', 'the TypeScript compiles');

	local $ENV{PGHOST} = $featul->node->host;
	local $ENV{PGPORT} = $featul->node->port;
	local $ENV{PGDATABASE} = 'postgres';
	local $ENV{PGUSER} = $featul->sql('SELECT current_user');
	my $application = <<'END';
import { connect, list, pool } from './with-pg.js'
import { deliveries, redeliver } from './with-drizzle.js'
import { httpStatus, userMessage } from './errors.js'

console.log(await connect('olivia', 'acme', 'webhook', 'https://hook.example.com/again', ['post.created']))
const integrations = await list('adam', 'acme')
console.log(integrations.map((one) => `${one.type} ${one.status} ${one.events ?? 'all'}`).join(', '))
const caught = (error) => `${httpStatus(error)} ${userMessage(error)}`
console.log(await list('mina', 'acme').catch(caught))
console.log(await deliveries('olivia', 'nowhere').catch((error) => `${error.constructor.name} ${caught(error)}`))
const delivered = await deliveries('olivia', 'acme', 'delivered')
console.log(delivered.length > 0 && delivered.every((one) => one.state === 'delivered'))
console.log((await deliveries('olivia', 'acme', 'failed')).length)
console.log(await redeliver('olivia', 'acme', delivered[0].id).then(() => 'again'))
await pool.end()
END
	$featul->wait_until_settled;
	is(run_node($application), <<'END' =~ s/\n\z//r, 'the TypeScript does what it says');
Webhook integration updated
slack active all, discord active all, webhook active post.created
403 You don't have permission to view integrations
DrizzleQueryError 404 Workspace not found
true
0
again
END

	# the other drivers; neon-http against a stand-in for Neon's endpoint
	my $endpoint = IPC::Run::start([ 'node', "$packages/neon.mjs" ], '<', \undef, '>', \my $port, '2>', \my $problem);
	Featul::wait_for(sub { $endpoint->pump_nb; $port =~ /\d+\n/ }, 'the stand-in for Neon');
	chomp($port);
	is(run_node(<<"END"), <<'END' =~ s/\n\z//r, 'neon-http, postgres.js, Prisma and Kysely');
import { neonConfig } from '\@neondatabase/serverless'
neonConfig.fetchEndpoint = () => 'http://127.0.0.1:$port/sql'
process.env.DATABASE_URL = 'postgresql://app:secret\@db.example.com/featul'
const neon = await import('./with-neon.js')
const postgres = await import('./with-postgres.js')
const prisma = await import('./with-prisma.js')
const { disconnect } = await import('./with-kysely.js')
const { pool } = await import('./with-pg.js')
const { httpStatus, userMessage } = await import('./errors.js')
const caught = (error) => [httpStatus(error), userMessage(error)].join(' ')

console.log(await neon.connect('olivia', 'acme', 'webhook', 'https://hook.example.com/neon', ['post.created']))
console.log((await neon.list('olivia', 'acme')).map((one) => [one.type, one.events, typeof one.created_at].join(' ')).at(-1))
console.log(await neon.connect('mina', 'acme', 'webhook', 'https://hook.example.com/topsecret').catch(caught))
console.log(await neon.connect('olivia', 'acme', 'slack', 'https://hook.example.com/topsecret').catch(caught))
await neon.importPosts('ideas', ['Quiet one', 'Quiet two'])
console.log(await postgres.test('olivia', 'acme', 'webhook'))
console.log(await postgres.test('olivia', 'nowhere', 'webhook').catch(caught))
console.log((await prisma.list('olivia', 'acme')).map((one) => [one.type, one.status].join(' ')).at(-1))
console.log(await prisma.list('mina', 'acme').catch((error) => [error.constructor.name, caught(error)].join(' ')))
console.log(await disconnect('olivia', 'acme', 'webhook'))
console.log(await disconnect('olivia', 'acme', 'webhook').catch(caught))
await pool.end()
await postgres.close()
await prisma.prisma.\$disconnect()
END
Webhook integration updated
webhook post.created string
403 You don't have permission to manage integrations
400 Not a Slack webhook URL
Test notification sent successfully
404 Workspace not found
webhook active
PrismaClientKnownRequestError 403 You don't have permission to view integrations
Webhook integration disconnected
404 Integration not found
END
	$endpoint->kill_kill;
	# docs/operators.md: a notification becomes an e-mail to the owner
	my %operators = Featul::code_blocks('operators.md');
	append_to_file("$dir/tell-owners.mjs", $operators{'tell-owners.mjs'});
	my $listener = IPC::Run::start([ 'node', "$dir/tell-owners.mjs" ], '<', \undef, '>', \my $told, '2>', \$problem);
	Featul::wait_for(sub { $listener->pump_nb; $told =~ /listening/ }, 'the listener');
	$featul->sql(q(SELECT pg_notify('featul_integrations', '{"workspace_id": "acme", "type": "slack", "status": "inactive", "reason": "no_service"}')));
	Featul::wait_for(sub { $listener->pump_nb; $told =~ /no_service/ }, 'an e-mail');
	like($told, qr/^olivia\@example\.com: The slack integration of Acme has been switched off: no_service$/m, 'the owner is told');
	$listener->kill_kill;

	is($featul->sql("SELECT count(*) FROM post p JOIN featul_integrations.event e ON e.post_id = p.id WHERE title LIKE 'Quiet%'"),
		0, 'an import through db.batch is not told');
}

# ---------------------------------------------------------------------------
# docs/application.md: filters, bulk work, and the calls as PostgREST makes them
# ---------------------------------------------------------------------------

like($featul->sql_as('olivia', $file{filters}), qr/^Webhook integration (connected|updated)$/, 'the filters');
is($featul->sql_as('olivia', $file{pages}), '', 'the log, page by page');
$featul->wait_until_settled;
my $events = $featul->sql('SELECT count(*) FROM featul_integrations.event');
$featul->sql($file{import});
is($featul->sql("SELECT count(*) FROM post WHERE title LIKE 'Imported%'"), 5000, 'the import');
is($featul->sql('SELECT count(*) FROM featul_integrations.event'), $events, '... is not told');

$featul->sql($file{traced});
is($featul->sql("SELECT traceparent IS NOT NULL FROM featul_integrations.event WHERE post_id = 'traced'"), 't', 'a trace context');

$featul->sql("CREATE ROLE authenticated; $file{grants}");
my @calls = $file{postgrest} =~ m{rpc/(\w+)".*?-d '(.*?)'}gs;
is(scalar(@calls), 6, 'the calls through PostgREST');
while (my ($function, $body) = splice(@calls, 0, 2))
{
	# as PostgREST does it: the body's keys are the arguments' names
	my $arguments = decode_json($body);
	my $named = join(', ',
		map { "$_ => " . (ref $arguments->{$_}
			  ? "'{" . join(',', @{ $arguments->{$_} }) . "}'"
			  : "'$arguments->{$_}'") }
		  sort keys %$arguments);
	foreach my $user (qw(olivia mina))
	{
		my ($status, undef, $error) = $featul->node->psql('postgres', <<END);
\\set VERBOSITY sqlstate
BEGIN;
SET LOCAL ROLE authenticated;
SET LOCAL "request.jwt.claims" = '{"sub": "$user", "role": "authenticated"}';
SELECT * FROM $function($named);
END
		is($error, $user eq 'olivia' ? '' : 'psql:<stdin>:5: ERROR:  PT403', "$function as $user");
	}
}

# ---------------------------------------------------------------------------
# docs/operators.md: every statement runs
# ---------------------------------------------------------------------------

# what a request fails at, in words (src/network/failure.c): each is explained
my $operators = slurp_file("$Featul::test_dir/../docs/operators.md");
my @errors = slurp_file("$Featul::test_dir/../src/network/failure.c") =~ /(?:out, |size, )"([a-z][^"%]{7,})/gi;
cmp_ok(scalar(@errors), '>=', 8, 'there are errors to explain');
is(join(', ', grep { index($operators, $_) < 0 } @errors), '', 'operators.md explains each of them');

$featul->wait_until_settled;
my %run = Featul::code_blocks('operators.md');
delete $run{'tell-owners.mjs'};    # run above
cmp_ok(scalar(keys %run), '>=', 10, 'the statements of operators.md');
foreach my $name ((grep { !/^uninstall/ } sort keys %run), 'uninstall', 'uninstall_role')
{
	my $before = "SET client_min_messages = warning;\n"
	  . ($run{$name} =~ /integration_(list|recover)/ ? "SET featul_integrations.operator = on;\n" : '');
	my ($status, undef, $error) = $featul->node->psql('postgres', "$before$run{$name}");
	is($error, '', "operators.md: $name");
}
is($featul->sql("SELECT count(*) FROM pg_roles WHERE rolname = 'featul_integrations'"), 0, 'nothing of it is left');
$featul->sql("INSERT INTO post (id, board_id, title, content, slug) VALUES ('without', 'ideas', 'Without it', '', 'without')");

$featul->node->stop;
done_testing;
