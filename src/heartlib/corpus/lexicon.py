"""The singable words, by part of speech: each entry is `word.syllables.rhyme`.

Syllables and rhyme (the sounds from the last stressed vowel on) are those of espeak-ng's en-us;
a rhyme of `-` has no partner here.
"""

NOUN = """
day.1.eI night.1.aIt sun.1.Vn moon.1.u:n sky.1.aI star.1.A@ sea.1.i: wind.1.- rain.1.eIn snow.1.oU
fire.1.aI3 light.1.aIt shadow.2.- river.2.Iv3 ocean.2.- mountain.2.aUntIn valley.2.ali forest.2.-
garden.2.- flower.2.aU3 rose.1.- tree.1.i: leaf.1.- bird.1.3d song.1.O2N tune.1.u:n melody.3.-
drum.1.Vm dream.1.i:m heart.1.A@t soul.1.oUl mind.1.aInd hand.1.and eye.1.aI face.1.eIs
smile.1.aIl tear.1.i@3 voice.1.OIs word.1.3d name.1.eIm story.2.o@ri road.1.- street.1.i:t
city.2.- town.1.aUn home.1.- house.1.- room.1.u:m door.1.o@ window.2.- wall.1.O:l floor.1.o@
bridge.1.- train.1.eIn car.1.A@ boat.1.oUt ship.1.- sail.1.eIl wave.1.eIv shore.1.o@ beach.1.i:tS
sand.1.and stone.1.oUn hill.1.Il field.1.- meadow.2.- farm.1.- land.1.and world.1.- earth.1.-
heaven.2.Ev@n cloud.1.aUd storm.1.- thunder.2.Vnd3 lightning.2.- morning.2.- evening.2.-
sunset.2.- sunrise.2.- midnight.2.- twilight.2.- summer.2.- winter.2.- autumn.2.- spring.1.IN
season.2.- hour.2.aU3 minute.2.- moment.2.- year.1.i@3 time.1.aIm past.1.- future.2.- memory.3.-
promise.2.- secret.2.- letter.2.- picture.2.- mirror.2.- candle.2.- lantern.2.- flame.1.eIm
spark.1.A@k ember.2.Emb3 smoke.1.- dust.1.Vst gold.1.oUld silver.2.- diamond.2.- treasure.2.-
crown.1.aUn king.1.IN queen.1.i:n friend.1.End lover.2.Vv3 stranger.2.eIndZ3 brother.2.VD3
sister.2.- mother.2.VD3 father.2.- baby.2.- child.1.aIld angel.2.- teacher.2.- dancer.2.aans3
singer.2.- sailor.2.- captain.2.- hero.2.- traveler.3.- dreamer.2.- neighbor.2.- circle.2.-
line.1.aIn color.2.- shape.1.- sound.1.aUnd silence.2.- noise.1.- echo.2.- whisper.2.- rhythm.2.-
music.2.- guitar.2.A@ piano.3.- violin.2.In trumpet.2.- radio.3.- record.2.- party.2.-
dance.1.aans game.1.eIm chance.1.aans choice.1.OIs faith.1.- hope.1.- love.1.Vv joy.1.- peace.1.-
pain.1.eIn sorrow.2.A:roU trouble.2.- danger.2.eIndZ3 freedom.2.- power.2.aU3 glory.2.o@ri
wonder.2.Vnd3 magic.2.- mystery.3.- miracle.3.- adventure.3.- journey.2.- highway.2.- railway.2.-
station.2.- harbor.2.- island.2.- desert.2.- canyon.3.- jungle.2.- prairie.2.- village.2.-
palace.2.- castle.2.- tower.2.aU3 temple.2.- market.2.- kitchen.2.- table.2.- chair.1.e@
pillow.2.- blanket.2.- paper.2.- pencil.2.- feather.2.ED3 ribbon.2.- button.2.- pocket.2.0kIt
coat.1.oUt dress.1.- shoe.1.u: hat.1.at ring.1.IN chain.1.eIn key.1.i: lock.1.0k bell.1.El
clock.1.0k watch.1.- wheel.1.i:l engine.2.- motor.2.- rocket.2.0kIt planet.2.- comet.2.-
satellite.3.- universe.3.- galaxy.3.- rainbow.2.- raindrop.2.- snowflake.2.- butterfly.3.-
dragonfly.3.- tiger.2.- lion.1.- eagle.2.- raven.2.- robin.2.- sparrow.2.aroU swallow.2.- pony.2.-
horse.1.- rabbit.2.- fox.1.- wolf.1.- deer.1.i@3 honey.2.Vni sugar.2.- coffee.2.- apple.2.-
lemon.2.- cherry.2.Eri berry.2.Eri orange.2.- water.2.- wine.1.aIn bread.1.Ed butter.2.-
cake.1.eIk fountain.2.aUntIn waterfall.3.- lake.1.eIk pond.1.- stream.1.i:m corner.2.- alley.2.ali
avenue.3.- border.2.- edge.1.- wire.1.aI3 string.1.IN arrow.2.aroU anchor.2.- compass.2.- map.1.-
ladder.2.- stairway.2.- ceiling.2.- roof.1.- chimney.2.- fireplace.2.-
"""

PLURAL = """
stars.1.- dreams.1.- hearts.1.- hands.1.- eyes.1.aIz words.1.3dz songs.1.- nights.1.aIts
days.1.eIz years.1.i@3z roads.1.- waves.1.- trees.1.- leaves.1.- birds.1.3dz clouds.1.-
stories.2.- memories.3.- promises.3.- secrets.2.- letters.2.- pictures.2.- mirrors.2.- candles.2.-
flowers.2.- roses.2.- rivers.2.- mountains.2.- valleys.2.- shadows.2.- colors.2.- angels.2.-
strangers.2.- lovers.2.- dancers.2.- children.2.- friends.1.- lights.1.aIts bells.1.- wings.1.-
tears.1.i@3z smiles.1.- voices.2.- whispers.2.- echoes.2.- diamonds.2.- feathers.2.- ribbons.2.-
windows.2.- cities.2.- engines.2.- planets.2.- rainbows.2.- raindrops.2.- butterflies.3.-
horses.2.- sparrows.2.aroUz arrows.2.aroUz miracles.3.- summers.2.- winters.2.- mornings.2.-
evenings.2.- moments.2.- drums.1.- trains.1.- ships.1.- sails.1.- streets.1.-
"""

VERB = """
find.1.aInd see.1.i: hear.1.i@3 feel.1.i:l hold.1.oUld keep.1.i:p take.1.eIk give.1.Iv
follow.2.0loU carry.2.- remember.3.Emb3 forget.2.Et believe.2.i:v love.1.Vv need.1.i:d want.1.-
know.1.oU show.1.oU call.1.O:l touch.1.- kiss.1.Is miss.1.Is leave.1.i:v lose.1.- win.1.In
chase.1.eIs catch.1.- bring.1.IN send.1.End write.1.aIt read.1.i:d paint.1.- draw.1.- build.1.-
break.1.eIk mend.1.End open.2.- close.1.- cover.2.Vv3 reach.1.i:tS turn.1.3n move.1.- change.1.-
save.1.eIv free.1.i: thank.1.- trust.1.Vst meet.1.i:t greet.1.i:t ask.1.- tell.1.El guide.1.aId
teach.1.i:tS lift.1.Ift raise.1.eIz drop.1.- pull.1.- push.1.- ride.1.aId drive.1.aIv cross.1.-
climb.1.aIm discover.3.Vv3 imagine.3.- celebrate.3.- welcome.2.- borrow.2.A:roU gather.2.-
deliver.3.Iv3 surrender.3.End3 understand.3.and
"""

ACT = """
sing.1.IN dance.1.aans run.1.Vn walk.1.- fly.1.aI fall.1.O:l rise.1.aIz shine.1.aIn glow.1.oU
burn.1.3n play.1.eI stay.1.eI go.1.oU wait.1.eIt dream.1.i:m sleep.1.i:p wake.1.eIk laugh.1.-
cry.1.aI smile.1.aIl breathe.1.- live.1.aIv grow.1.oU begin.2.In return.2.3n wander.2.- travel.2.-
whisper.2.- answer.2.aans3 listen.2.- remember.3.Emb3 believe.2.i:v forgive.2.Iv surrender.3.End3
tremble.2.- shiver.2.Iv3 sparkle.2.- glimmer.2.- swing.1.IN sway.1.eI float.1.oUt drift.1.Ift
sail.1.eIl roll.1.oUl rock.1.0k jump.1.- spin.1.In turn.1.3n fade.1.- bloom.1.u:m swim.1.-
stand.1.and speak.1.- pray.1.eI
"""

DOING = """
singing.2.ININ dancing.2.- running.2.- walking.2.- flying.2.aIIN falling.2.O:lIN rising.2.-
shining.2.- glowing.2.oUIN burning.2.3nIN playing.2.eIIN staying.2.eIIN going.2.oUIN waiting.2.-
dreaming.2.- sleeping.2.- waking.2.- laughing.2.- crying.2.aIIN smiling.2.- breathing.2.-
living.2.- growing.2.oUIN wandering.3.- traveling.3.- whispering.3.- listening.3.- believing.3.-
trembling.2.- shivering.3.- sparkling.2.- swinging.2.ININ swaying.2.eIIN floating.2.- drifting.2.-
sailing.2.- rolling.2.- rocking.2.- jumping.2.- spinning.2.- turning.2.3nIN fading.2.-
blooming.2.- swimming.2.- standing.2.- speaking.2.- calling.2.O:lIN moving.2.- changing.2.-
reaching.2.- riding.2.- driving.2.- climbing.2.-
"""

HAPPY = """
happy.2.- golden.2.- sunny.2.Vni bright.1.aIt sweet.1.i:t warm.1.- gentle.2.- lucky.2.-
merry.2.Eri joyful.2.- lovely.2.- cheerful.2.- shining.2.- sparkling.2.- brave.1.eIv free.1.i:
new.1.u: young.1.- wild.1.aIld glad.1.ad fine.1.aIn wonderful.3.- beautiful.3.- brilliant.2.-
magical.3.- colorful.3.- easy.2.- funny.2.Vni proud.1.aUd strong.1.O2N fresh.1.-
"""

SAD = """
lonely.2.oUnli broken.2.oUk@n bitter.2.- cold.1.oUld empty.2.- weary.2.- tired.1.- faded.2.-
frozen.2.- silent.2.- hollow.2.0loU heavy.2.- wounded.2.- dark.1.A@k gray.1.eI blue.1.u: lost.1.-
hidden.2.- distant.2.- fragile.2.- shattered.2.- forgotten.3.- sorrowful.3.- gloomy.2.- pale.1.eIl
"""

PLAIN = """
quiet.1.- open.2.- simple.2.- tender.2.End3 silver.2.- crimson.2.- purple.2.- yellow.2.-
green.1.i:n red.1.Ed white.1.aIt black.1.- tall.1.O:l small.1.O:l little.2.- tiny.2.- deep.1.i:p
high.1.aI low.1.oU long.1.O2N wide.1.aId slow.1.oU soft.1.- quick.1.- steady.2.- endless.2.-
ancient.2.- secret.2.- holy.2.oUli honest.2.- modern.2.- electric.3.- velvet.2.- paper.2.-
wooden.2.- crystal.2.- perfect.2.- peaceful.2.- restless.2.- hungry.2.- thirsty.2.- different.2.-
familiar.3.- invisible.4.- unbroken.3.oUk@n northern.2.- southern.2.- eastern.2.- western.2.-
"""

ADVERB = """
tonight.2.aIt today.2.eI tomorrow.3.A:roU forever.3.Ev3 together.3.ED3 again.2.En away.2.eI
alone.2.oUn slowly.2.oUli softly.2.- gently.2.- freely.2.- always.2.- still.1.Il now.1.aU
here.1.i@3 there.1.e@ somehow.2.- someday.2.- sometimes.2.- somewhere.2.- anyway.3.- outside.2.aId
inside.2.aId below.2.oU above.2.Vv around.2.aUnd along.2.O2N apart.2.A@t ahead.2.Ed
"""

HOW = """
happily.3.- easily.3.- quietly.2.- silently.3.- secretly.3.- tenderly.3.- faithfully.3.-
carefully.3.- patiently.3.- suddenly.3.- finally.3.-
"""

EXCLAIM = """
oh.1.oU yeah.1.- hey.1.eI baby.2.- darling.2.- maybe.2.- sister.2.- brother.2.VD3 honey.2.Vni
ooh.1.u:
"""

NUMBER = """
two.1.u: three.1.i: four.1.o@ five.1.aIv six.1.- seven.2.Ev@n eight.1.eIt nine.1.aIn ten.1.En
twenty.2.- thirty.2.- hundred.2.- thousand.2.- million.2.-
"""

FUNCTION = """
the.1.@ a.1.@ an.1.an my.1.aI your.1.- our.2.aU3 this.1.Is that.1.at every.2.- no.1.oU and.1.and
but.1.Vt or.1.O@ so.1.oU if.1.- when.1.En while.1.aIl until.2.Il because.2.Vz I.1.aI you.1.u:
we.1.i: they.1.eI she.1.i: he.1.i: it.1.- me.1.i: us.1.- them.1.- is.1.- are.1.A@ was.1.Vz
will.1.Il can.1.an could.1.Ud would.1.Ud should.1.Ud must.1.Vst may.1.eI let.1.Et do.1.u:
don't.1.- have.1.- has.1.az had.1.ad am.1.- be.1.i: been.1.In to.1.u: of.1.Vv in.1.In on.1.-
at.1.at by.1.aI for.1.O@ from.1.Vm with.1.- without.2.aUt into.2.- over.2.- under.2.Vnd3
through.1.u: across.2.- behind.2.aInd beside.2.aId between.2.i:n beyond.2.- before.2.o@ after.2.-
near.1.i@3 like.1.- as.1.az than.1.an then.1.En there.1.e@ where.1.e@ who.1.u: what.1.Vt why.1.aI
how.1.aU all.1.O:l some.1.Vm many.2.- more.1.o@ never.2.Ev3 only.2.oUnli just.1.Vst even.2.-
not.1.- too.1.u: very.2.Eri one.1.Vn come.1.Vm go.1.oU down.1.aUn out.1.aUt up.1.-
"""
