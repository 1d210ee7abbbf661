#!/usr/bin/env bash
# Trains TD3-AWR for a few updates on each real MuJoCo dataset of ../shared/datasets, float64 and incomplete files included.
set -u
program=${UNIFLORAL:-./unifloral}
folder=$(mktemp -d /tmp/uf_real_XXXXXX)
trap 'rm -rf "$folder"' EXIT
found=0
for data in ../shared/datasets/*.hdf5; do
    [ -e "$data" ] || continue
    found=1
    name=$(basename "$data" .hdf5)
    if "$program" train configs/td3_awr.json --dataset "$data" --set num_updates=3 --set eval_interval=3 --set batch_size=64 --set eval_final_episodes=8 \
        --out "$folder/$name" >"$folder/log" 2>&1 && "$program" info "$folder/$name" >"$folder/info" 2>&1 \
        && grep -q '^updates  *3 of 3' "$folder/info"; then
        echo "ok td3_awr trains on $name"
    else
        echo "not ok td3_awr trains on $name"
        cat "$folder/log"
    fi
done
if [ $found = 0 ]; then
    echo "skip td3_awr on real MuJoCo data: ../shared/datasets not there"
fi
