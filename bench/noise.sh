# noise.sh: rows of noise of 17 observations and 6 actions, of no environment, for benches that only train.
noise_dataset() { # PROGRAM ROWS FILE.hdf5
    local csv=${3%.hdf5}.csv
    awk -v rows="$2" 'BEGIN { srand(0)
        for (i = 0; i < 17; i++) printf "obs_%d,", i
        for (i = 0; i < 6; i++) printf "action_%d,", i
        print "reward,terminal,timeout"
        for (t = 0; t < rows; t++) {
            for (i = 0; i < 23; i++) printf "%.4f,", 2 * rand() - 1
            printf "%.4f,0,%d\n", rand(), t % 1000 == 999
        } }' >"$csv"
    "$1" convert "$csv" "$3" >/dev/null
}
