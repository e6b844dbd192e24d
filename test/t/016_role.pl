# The role that the extension acts as: refused where it is more than that, shared by the
# databases of a cluster, adopted by the workers, and gone at the end.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";

use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $featul = Featul->new(attach => 0);
my $node = $featul->node;

# A role of that name that could be somebody
sub refused
{
	my ($what, $detail) = @_;
	my ($status, undef, $error) = $node->psql('postgres', "$what; CREATE EXTENSION featul_integrations");

	like($error, qr/role "featul_integrations" is more than the extension's own.*$detail.*HINT: /s, "refused after $what");
	$node->safe_psql('postgres', 'DROP ROLE featul_integrations');
	return;
}

$node->safe_psql('postgres', 'CREATE ROLE somebody');
refused('CREATE ROLE featul_integrations LOGIN', 'may log in');
refused("CREATE ROLE featul_integrations $_", 'another attribute')
  foreach qw(SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS);
refused('CREATE ROLE featul_integrations ROLE somebody', 'has members');
refused('CREATE ROLE featul_integrations IN ROLE somebody', 'member of another');

# In two databases; nobody but superusers may connect, nor may the role
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', "REVOKE CONNECT ON DATABASE $_ FROM PUBLIC") foreach qw(postgres other);
foreach my $database (qw(postgres other))
{
	local $featul->{dbname} = $database;
	$featul->set_up_database($database);
	# who writes down that something was delivered
	$featul->sql(<<'END');
CREATE TABLE acted (who name, session name, super text);
GRANT INSERT ON acted TO featul_integrations;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.acted VALUES (current_user, session_user, current_setting('is_superuser'));
	RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE UPDATE ON featul_integrations.health FOR EACH ROW EXECUTE FUNCTION note();
END
	$featul->connect('webhook');
	$featul->post(title => "told from $database");
	$featul->wait_until_settled;
	is($featul->sql('SELECT DISTINCT who, session, super FROM acted'),
		'featul_integrations|featul_integrations|off', "the worker of $database is the role, from the start");
}
is(scalar(grep { $_->{json}{post}{title} =~ /^told from/ } $featul->requests), 2, 'both deliver');
is($node->safe_psql('postgres', "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'featul_integrations'"), 'f', 'without LOGIN');

# It stays for as long as one database needs it
$node->safe_psql('other', 'DROP EXTENSION featul_integrations; DROP TABLE acted');
isnt($node->psql('postgres', 'DROP ROLE featul_integrations'), 0, 'the role is needed');
$featul->post(title => 'still told');
$featul->wait_until_settled;
is(scalar(grep { $_->{json}{post}{title} eq 'still told' } $featul->requests), 1, 'and the other database goes on');
$node->safe_psql('postgres', 'DROP EXTENSION featul_integrations; DROP TABLE acted');
$node->safe_psql('postgres', 'DROP ROLE featul_integrations');
pass('after the last one it can go');

done_testing();
