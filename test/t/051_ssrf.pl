# Server-side request forgery: no address that is not public can be reached, in whichever
# way it is written, neither when connecting nor when it is dialled.
#
# Nothing here leaves the machine: addresses that must be refused are refused before a
# socket is opened, and those that must not be refused are checked when connecting only.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

# Addresses inside each range that is not public (first, last or a telling one) ...
my @private = (
	# IPv4
	qw(0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255
	169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.0 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1
	192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.0 192.168.255.255 192.175.48.1 198.18.0.0
	198.19.255.255 198.51.100.255 203.0.113.0 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.254
	255.255.255.255),
	# IPv6
	qw([::] [::1] [::127.0.0.1] [::8.8.8.8] [::ffff:127.0.0.1] [::ffff:10.0.0.1] [::ffff:a9fe:a9fe]
	[::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::8.8.8.8] [64:ff9b:1::1] [100::1] [100:0:0:1::1]
	[2001::1] [2001:0:4136:e378:8000:63bf:3fff:fdd2] [2001:2::1] [2001:10::1] [2001:20::1] [2001:db8::1]
	[2002:7f00:1::] [2002:808:808::1] [2620:4f:8000::1] [3fff::1] [3fff:fff:ffff::1] [5f00::1] [fc00::1]
	[fd00:ec2::254] [fdff:ffff::1] [4000::1] [e000::1] [fe80::1] [febf::1] [fec0::1] [ff02::1] [ff0e::1]));

# ... addresses just outside ...
my @public = (
	qw(1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255
	169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255
	198.20.0.0 198.51.99.255 203.0.112.255 223.255.255.255),
	qw([::ffff:8.8.8.8] [2001:200::1] [2001:db7::1] [2001:4860:4860::8888] [2003::1] [2606:4700::1111] [3ffe::1]));

# ... and the loopback and metadata addresses in every spelling that resolvers or URL
# parsers read as an address.
my @spellings = (
	qw(127.1 127.0.1 0x7f.1 0x7f.0.0.1 0177.0.0.1 0177.1 017700000001 2130706433 0x7f000001 0x7F000001
	00000177.00000000.00000000.00000001 127.0.0.1. 127.1. 0 0. 0x0 00 169.254.43518 0xa9fea9fe 2852039166
	025177524776 0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 169.0xfe.169.254 [0:0:0:0:0:0:0:1] [::0001] [0::1]
	[::ffff:7f00:1] [::FFFF:127.0.0.1] [0:0:0:0:0:ffff:7f00:0001] [::ffff:0x7f.1] [fe80::1%25eth0] [fe80::1%eth0]
	localhost LOCALHOST localhost. LocalHost.. foo.localhost foo.LocalHost. a.b.localhost),
	# percent-encoded, full-width and enclosed digits and letters
	'%31%32%37.0.0.1', '127%2e0%2e0%2e1', '127.0.0.1%00', '%6c%6f%63%61%6c%68%6f%73%74', "\x{ff11}\x{ff12}\x{ff17}.0.0.1",
	"\x{2460}\x{2461}\x{2466}.0.0.1", "127\x{3002}0\x{3002}0\x{3002}1", "127\x{ff0e}0\x{ff0e}0\x{ff0e}1", "\x{ff4c}ocalhost",
	"loc\x{24d0}lhost", "local\x{ad}host", "127.0.0.1\x{200b}");

# What is no plain host at all
my @malformed = (
	'https://', 'https:///path', 'https://[::1', 'https://::1/', 'https://user@hook.example.com/', 'https://:pw@hook.example.com/',
	'https://127.0.0.1@hook.example.com/', 'https://hook.example.com@127.0.0.1/', 'https://hook.example.com#@127.0.0.1/',
	'https://hook.example.com\@127.0.0.1/', 'https://127.0.0.1\@hook.example.com/', 'https://hook.example.com:443@127.0.0.1/',
	"https://hook.example.com\t/", "https://hook.example.com\r\nHost: x/", 'https://hook.example.com:0/', 'https://hook.example.com:65536/',
	'https://hook.example.com:443:443/', 'http://hook.example.com/', 'ftp://hook.example.com/', 'file:///etc/passwd',
	'gopher://127.0.0.1/', '//hook.example.com/', 'hook.example.com', ' https://hook.example.com/', 'https://hook.example.com /');

my $featul = Featul->new(connect => []);
my $node = $featul->node;
$featul->set('allowed_networks', '');
$featul->set('max_attempts', 1);
$featul->wait_for_sql(q(SELECT current_setting('featul_integrations.allowed_networks') = ''));

# The SQLSTATE of integration_connect with this URL, '' if it is taken
sub refused
{
	my ($url) = @_;
	my $quoted = $url =~ s/'/''/gr;

	utf8::encode($quoted);
	my ($status, $out, $err) = $node->psql('postgres', <<"END");
\\set VERBOSITY verbose
SET featul_integrations.user_id = 'olivia';
SELECT success FROM integration_connect('acme', 'webhook', '$quoted');
END
	return $status == 0 && $out eq 't' ? '' : $err =~ /ERROR:  (\w+):/ ? $1 : "$status $out $err";
}

sub shown
{
	my ($text) = @_;

	return $text =~ s/([^ -~])/sprintf '\\x{%x}', ord $1/ger;
}

# A list of those of these hosts for which the outcome is another
sub wrong
{
	my ($expected, @urls) = @_;
	my @wrong = grep { $_->[1] ne $expected } map { [ $_, refused($_) ] } @urls;

	return join ', ', map { shown($_->[0]) . " ($_->[1])" } @wrong;
}

is(wrong('PT400', map { "https://$_/" } @private), '', 'addresses that are not public are refused');
is(wrong('PT400', map { "https://$_:8443/x?y=z" } @private[ 0 .. 5 ]), '', 'with a port and a path too');
is(wrong('PT400', map { "https://$_/" } @spellings), '', 'so they are in every spelling');
is(wrong('PT400', @malformed), '', 'what is no plain https URL is refused');
is(wrong('', map { "https://$_/" } @public), '', 'addresses next to those ranges are not');

# At the socket: a name that is fine when connecting leads to such an address later.  One
# workspace for each; connect_to plays the name server.
my @literals = @private;
my $n = 0;
my %host = map { $_ => 'rebound' . $n++ . '.example.com' } @literals;
$featul->set('connect_to', join ',', map { "$host{$_}:443:$_:443" } @literals);
$n = 0;
foreach my $address (@literals)
{
	$featul->workspace('rebound' . $n++, webhook => "https://$host{$address}/");
}
$featul->sql(<<'END');
INSERT INTO post (id, board_id, title, content, slug, author_id)
SELECT gen_random_uuid(), id, 'title', 'content', gen_random_uuid(), 'mina' FROM board WHERE id LIKE 'rebound%'
END
$featul->wait_until_settled;
is( $featul->sql(<<'END'), scalar(@literals), 'the socket is refused for each of them');
SELECT count(*) FROM featul_integrations.attempt
WHERE workspace_id LIKE 'rebound%' AND state = 'failed' AND error = 'the address is not public'
	AND http_status IS NULL
END
is( $featul->sql(<<'END'), '', 'nothing else happened');
SELECT workspace_id, state, error FROM featul_integrations.attempt WHERE error <> 'the address is not public'
END

# A name that resolves (through the resolver itself) to the loopback addresses
$featul->set('connect_to', 'resolves.example.com:443:localhost:' . $featul->port('server'));
$featul->workspace('resolves', webhook => 'https://resolves.example.com/');
$featul->sql(q(INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'resolves-ideas', 'title', 'content', gen_random_uuid(), 'mina')));
$featul->wait_until_settled;
is($featul->sql(q(SELECT error FROM featul_integrations.attempt WHERE workspace_id = 'resolves')),
	'the address is not public', 'a name that resolves to a loopback address');

# integration_test goes the same way
my ($status, $out, $err) = $node->psql('postgres',
	q(SET featul_integrations.user_id = 'olivia'; SELECT integration_test('resolves', 'webhook')));
like($err, qr/Failed to send webhook notification.*DETAIL:  the address is not public/s, 'integration_test too');

# An open connection is no way around it: what was allowed is judged again after a reload.
$featul->set('allowed_networks', '127.0.0.1/32');
Featul::wait_for(
	sub {
		($status) = $node->psql('postgres',
			q(SET featul_integrations.user_id = 'olivia'; SELECT integration_test('resolves', 'webhook')));
		$status == 0;
	},
	'the allowed network');
pass('allowed_networks opens what it names');
$featul->sql(q(INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'resolves-ideas', 'allowed', 'content', gen_random_uuid(), 'mina')));
$featul->wait_until_settled;
is(scalar($featul->requests(host => 'resolves.example.com', event => 'post.created')), 1, 'for the worker too');
is(wrong('PT400', map { "https://$_/" } '127.0.0.2', '[::1]', '10.0.0.1', '2130706434'), '', 'and nothing else');
is(wrong('', map { "https://$_/" } '127.0.0.1', '2130706433', '[::ffff:127.0.0.1]'), '', 'in whichever spelling');
$featul->set('allowed_networks', '10.0.0.0/8');
$featul->wait_for_sql(q(SELECT count(*) > 0 FROM featul_integrations.stat_worker WHERE config_loaded_at > now() - interval '10 s'));
$featul->sql(q(INSERT INTO post (id, board_id, title, content, slug, author_id) VALUES (gen_random_uuid(), 'resolves-ideas', 'closed again', 'content', gen_random_uuid(), 'mina')));
$featul->wait_until_settled;
is(scalar($featul->requests(host => 'resolves.example.com', event => 'post.created')), 1, 'taken back, it is closed again');

# A proxy is where the filter then stands for names; literals are refused here all the same.
$featul->set('proxy', 'http://127.0.0.1:9');
is(wrong('PT400', map { "https://$_/" } '127.0.0.1', '[::1]', '0x7f.1'), '', 'literals are refused with a proxy too');

done_testing();
