# Completion of Gatehouse's broker for fish: broker completion fish > ~/.config/fish/completions/broker.fish
function __broker_complete
	set -l words (commandline -opc) (commandline -ct)
	$words[1] complete -- $words[2..-1] 2>/dev/null
end
# Files are offered where the program has nothing to offer.
function __broker_offers
	set -g __broker_offered (__broker_complete)
	test (count $__broker_offered) -gt 0
end
complete -c broker -n __broker_offers -f -a '$__broker_offered'
