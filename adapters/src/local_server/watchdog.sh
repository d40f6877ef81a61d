# usage: sh -c THIS watchdog FOLDER LINGER_TENTHS
#
# Makes FOLDER, says "ready", and waits until nobody needs the server any more; then crashes the server and removes
# FOLDER. The kernel closes a pipe of a process that was killed with -9, so this works when nothing else of us can.
#
# LINGER_TENTHS 0: one owner, which holds the other end of our standard input.
# Otherwise: any number of users, each of which holds FOLDER/lifeline open for writing and has written a line into it;
# the server goes that many tenths of a second after the last of them.
#
# We lead a process group in which the postmaster and initdb are too; backends make sessions of their own and are the
# postmaster's affair.
folder=$1
linger=$2
# Caught, not ignored: what we start must not inherit deafness. PIPE: an owner that was killed hears no "ready" any more.
trap : HUP INT QUIT TERM PIPE
umask 077

mkdir "$folder" || exit 1
if [ "$linger" -gt 0 ]; then
    mkfifo "$folder/lifeline" || exit 1
    # Opening a named pipe for reading waits for a writer, unless we are one for a moment.
    exec 4<>"$folder/lifeline" 3<"$folder/lifeline" 4>&-
fi
echo ready
exec >/dev/null 2>&1

while read -r _; do :; done

if [ "$linger" -gt 0 ]; then
    idle=0
    while [ "$idle" -lt "$linger" ]; do
        # Waits while there are users; fails at once when there are none.
        if read -r _ <&3; then idle=0; else idle=$((idle + 1)); sleep 0.1; fi
    done
    # Who joined between our last look and here has seen `open` and stays; who comes later sees that it is gone.
    rm -f "$folder/open"
    while read -r _ <&3; do :; done
fi

# initdb is left to finish: interrupted, it leaves shared memory behind.
looks=0
while [ "$looks" -lt 300 ] && [ -e "$folder/initdb.running" ]; do
    sleep 0.1
    looks=$((looks + 1))
done
kill -QUIT 0
kill -CONT 0
looks=0
while [ "$looks" -lt 100 ] && read -r pid <"$folder/data/postmaster.pid" && kill -0 "$pid"; do
    sleep 0.1
    looks=$((looks + 1))
done

status=1
tries=0
while [ "$tries" -lt 100 ]; do
    rm -rf "$folder" && status=0 && break
    # Somebody who is about to end still writes into it.
    tries=$((tries + 1))
    sleep 0.1
done
# Our group and not the pid in the file, which may be somebody else's by now. We are in the group too: this comes last.
[ "$looks" -lt 100 ] || kill -KILL 0
exit "$status"
