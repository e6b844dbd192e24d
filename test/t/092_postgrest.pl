# docs/application.md's calls through the real PostgREST, where its program is in PATH: the acting
# user is the token's, SQLSTATEs become HTTP statuses.  (090_docs makes the same calls as the SQL
# that PostgREST makes of them.)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Digest::SHA qw(hmac_sha256);
use Featul;
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Cluster;
use Test::More;

plan skip_all => 'no postgrest here'
  unless IPC::Run::run([ 'sh', '-c', 'command -v postgrest' ], '>', \my $path, '2>', \my $none);

my $key = 'a secret of this test, and of 32 characters at least';
my %file = Featul::code_blocks('application.md');
my $featul = Featul->new;
$featul->sql(<<"END");
CREATE ROLE anonymous; CREATE ROLE authenticated;
CREATE ROLE authenticator LOGIN NOINHERIT; GRANT anonymous, authenticated TO authenticator;
$file{grants}
END

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $log = '';
local %ENV = (
	%ENV,
	PGRST_DB_URI => 'postgresql://authenticator@/postgres?host=' . $featul->node->host . '&port=' . $featul->node->port,
	PGRST_DB_SCHEMAS => 'public',
	PGRST_DB_ANON_ROLE => 'anonymous',
	PGRST_JWT_SECRET => $key,
	PGRST_SERVER_HOST => '127.0.0.1',
	PGRST_SERVER_PORT => $port);
my $postgrest = IPC::Run::start(['postgrest'], '<', \undef, '>', \$log, '2>&1');
my $http = HTTP::Tiny->new(timeout => 20);
Featul::wait_for(
	sub { $postgrest->pump_nb; $http->get("http://127.0.0.1:$port/")->{status} == 200 },
	sub { "PostgREST: $log" });

# token($user): as the application's sign-in makes it (RFC 7519)
sub token
{
	my ($user) = @_;
	my $signed = join '.',
	  map { encode_base64url(encode_json($_)) } { alg => 'HS256', typ => 'JWT' }, { sub => $user, role => 'authenticated' };
	return "$signed." . encode_base64url(hmac_sha256($signed, $key));
}

# call($user, $function, $body): the status and what the answer's JSON is
sub call
{
	my ($user, $function, $body) = @_;
	my %headers = ('Content-Type' => 'application/json', $user ? (Authorization => 'Bearer ' . token($user)) : ());
	my $answer = $http->post("http://127.0.0.1:$port/rpc/$function", { headers => \%headers, content => $body });
	return ($answer->{status}, eval { decode_json($answer->{content}) });
}

my @calls = $file{postgrest} =~ m{rpc/(\w+)".*?-d '(.*?)'}gs;
is(scalar(@calls), 6, 'the calls of the page');
while (my ($function, $body) = splice(@calls, 0, 2))
{
	my ($status, $json) = call('olivia', $function, $body);
	is($status, 200, "$function: as the owner") or diag explain $json;
	($status, $json) = call('mina', $function, $body);
	is($status, 403, "$function: as a member");
	like($json->{message}, qr/^You don't have permission to (view|manage) integrations$/, '... with the message');
	($status) = call(undef, $function, $body);
	isnt($status, 200, "$function: without a token");
}
my ($status, $json) = call('olivia', 'integration_list', '{"workspace_slug": "nowhere"}');
is_deeply([ $status, @$json{qw(code message)} ], [ 404, 'PT404', 'Workspace not found' ], 'no such workspace');
($status, $json) = call('olivia', 'integration_test', '{"workspace_slug": "acme", "type": "fax"}');
is($status, 400, 'a bad argument');
is((call('olivia', 'integration_test', '{"workspace_slug": "acme", "type": "slack"}'))[0], 200, 'a test');
$featul->script({ 'hooks.slack.com/' => [ { status => 500, body => 'no' } ] });
($status, $json) = call('olivia', 'integration_test', '{"workspace_slug": "acme", "type": "slack"}');
is_deeply([ $status, $json->{details} ], [ 500, 'HTTP 500: no' ], 'a test that fails says why');

$postgrest->kill_kill;
$featul->node->stop;
done_testing;
