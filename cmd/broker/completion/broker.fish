# Completion of Gatehouse's broker for fish: broker completion fish > ~/.config/fish/completions/broker.fish
function __broker_complete
	set -l words (commandline -opc) (commandline -ct)
	$words[1] complete -- $words[2..-1] 2>/dev/null
end
complete -c broker -a '(__broker_complete)'
